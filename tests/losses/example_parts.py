"""Parts of two small networks, for tests of every objective."""

import numpy as np

EXAMPLES = 16
CLASSES = 5
LABELS = np.arange(EXAMPLES) % CLASSES

_CHANNELS = {"teacher": (6, 8, 10), "student": (4, 5, 6)}
_WIDTH = 8  # of both: objectives that compare states as they are know no other pair
_LAYERS = {"teacher": 4, "student": 2}


def parts(role="student", batch=6, seed=0, index=None):
    """Everything in `keras_prokt.losses.PARTS`, float32, of a network of one role.

    `index` are the positions of the examples; by default the first ones.
    """
    generator = np.random.default_rng([seed, role == "teacher"])

    def normal(*shape):
        return generator.normal(size=shape).astype("float32")

    maps = [
        normal(batch, size, size, channels)
        for size, channels in zip((8, 4, 2), _CHANNELS[role], strict=True)
    ]
    width, count = _WIDTH, _LAYERS[role]
    mask = np.ones((batch, 5), "float32")
    mask[0, 3:] = 0
    return {
        "logits": normal(batch, CLASSES),
        "stages": [np.maximum(m, 0) for m in maps],
        "pre_activations": maps,
        "pooled": np.abs(normal(batch, _CHANNELS[role][-1])),
        "embeddings": normal(batch, 5, width),
        "hidden_states": [normal(batch, 5, width) for _ in range(count)],
        "attentions": [normal(batch, 2, 5, 5) for _ in range(count)],
        "mask": mask,
        "index": np.arange(batch) if index is None else np.asarray(index),
    }


def shapes(of):
    """The shapes of parts, as objectives are built for."""

    def shape(part, value):
        if isinstance(value, list):
            return [shape(part, v) for v in value]
        free = {"attentions": (0, 2, 3), "hidden_states": (0, 1), "embeddings": (0, 1)}
        return tuple(None if i in free.get(part, (0,)) else n for i, n in enumerate(value.shape))

    return {part: shape(part, value) for part, value in of.items() if part not in ("mask", "index")}


def built(objective, teacher, student):
    """The objective, ready to be called on these parts."""
    objective.adapt(LABELS)
    read = [
        {p: s for p, s in shapes(of).items() if p in objective.reads} for of in (teacher, student)
    ]
    objective.build_for(*read)
    return objective
