"""Claim: a teacher that trains in part costs what its trained part costs, and the rest one forward.

ProKT of a BERT into the bi-LSTM on random word pieces, batch 32 of 32, with the teacher whole, its
last blocks alone (`--blocks`), and low-rank adapters (`--rank`). Each in a process of its own that
the others do not compete with, in turn. Printed for each: the median of seconds a step, over that
of the whole teacher; the parameters that train, and the peak memory above TensorFlow's start-up.
For the last blocks, the step over the sum of its parts (claim: at most 1.1): one forward of the
frozen blocks, a training step and a forward of those that train, a training step of the student
and its own forward.

    python benchmarks/teacher_in_part.py --teacher DIRECTORY [--blocks 2] [--rank 8] [--repeats 8]
"""

import argparse
import os
import statistics

from sides import Side, in_turn, peak_mebibytes, serve

BATCH, LENGTH = 32, 32
WARM_UP, STEPS = 3, 5
SIDES = ("whole", "last", "lora")


def our_side(arguments: argparse.Namespace) -> None:
    """Serves steps of ProKT, and of the parts of a teacher whose last blocks train."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_prokt import ProKTDistiller
    from keras_prokt.models.bert import bert_classifier
    from keras_prokt.models.bilstm import bilstm
    from keras_prokt.models.trained_part import train_last_blocks, train_lora

    np.asarray(tf.function(lambda: tf.matmul(tf.ones((8, 8)), tf.ones((8, 8))))())
    start = peak_mebibytes()
    teacher = bert_classifier(arguments.teacher, 2)
    backbone = teacher.get_layer("backbone")
    if arguments.side == "last":
        train_last_blocks(teacher, arguments.blocks)
    elif arguments.side == "lora":
        train_lora(teacher, arguments.rank)
    student = bilstm(2, vocabulary_size=backbone.vocabulary_size)
    random = np.random.default_rng(0)
    ids = random.integers(0, backbone.vocabulary_size, (BATCH, LENGTH)).astype("int32")
    x = {"token_ids": ids, "padding_mask": np.ones_like(ids), "segment_ids": 0 * ids}
    batch = {"teacher": x, "student": {name: x[name] for name in ("token_ids", "padding_mask")}}
    labels = random.integers(0, 2, BATCH)
    distiller = ProKTDistiller(teacher, student)
    distiller.compile(keras.optimizers.Adam(1e-3), teacher_optimizer=keras.optimizers.Adam(3e-5))
    distiller.make_train_function()
    data = tf.data.Dataset.from_tensors((batch, labels)).repeat()
    batches = iter(data)

    def steps() -> None:
        for _ in range(STEPS):
            logs = distiller.train_function(batches)
        np.asarray(logs["loss"])

    calls = {"prokt": steps}
    if arguments.side == "last":
        calls |= parts(teacher, student, batch, labels)
    for call in calls.values():
        call()
    trained = sum(int(np.prod(v.shape)) for v in teacher.trainable_variables)
    about = {
        "versions": f"keras {keras.version()}, tensorflow {tf.__version__}",
        "trained": trained,
        "parameters": teacher.count_params(),
    }
    serve(about, calls, start)


def parts(teacher, student, batch, labels):
    """Compiled functions: frozen forward, training steps and forwards of what trains."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_prokt.backends.tensorflow_kernels.bert import hidden_states
    from keras_prokt.models.trained_part import transformer_blocks

    backbone = teacher.get_layer("backbone")
    frozen = sum(not block.trainable for block in transformer_blocks(teacher))
    x = {name: tf.constant(value) for name, value in batch["teacher"].items()}
    own = {name: tf.constant(value) for name, value in batch["student"].items()}

    def logits_of_teacher(training):
        return teacher(x, training=training)

    def training_step(logits_of, variables, rate):
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(variables)

        def step():
            with tf.GradientTape() as tape:
                logits = logits_of(True)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            values = [variable.value for variable in variables]
            optimizer.apply(tape.gradient(loss, values), variables)
            return loss

        return step

    def logits_of_student(training):
        return student(own, training=training)

    functions = {
        "frozen forward": lambda: hidden_states(backbone, x, frozen, training=False),
        "teacher step": training_step(logits_of_teacher, teacher.trainable_variables, 3e-5),
        "teacher forward": lambda: logits_of_teacher(False),
        "student step": training_step(logits_of_student, student.trainable_variables, 1e-3),
        "student forward": lambda: logits_of_student(False),
    }

    def repeated(function):
        compiled = tf.function(function)

        def run():
            for _ in range(STEPS):
                result = compiled()
            np.asarray(result)

        return run

    return {name: repeated(function) for name, function in functions.items()}


def measure(options: list[str], repeats: int) -> None:
    sides = {side: Side(__file__, "--side", side, *options) for side in SIDES}
    print(sides["whole"].about["versions"])
    seconds = in_turn(sides, repeats)
    medians = {name: statistics.median(values) / STEPS for name, values in seconds.items()}
    whole = medians["whole", "prokt"]
    for side in SIDES:
        about, step = sides[side].about, medians[side, "prokt"]
        print(
            f"{side:6} {step * 1000:8.1f} ms a step, {step / whole:.3f} of the whole; "
            f"{about['trained']:,} of {about['parameters']:,} parameters train; "
            f"{sides[side].ask('peak'):.0f} MiB"
        )
    names = [name for side, name in medians if side == "last" and name != "prokt"]
    for name in names:
        print(f"  {name:16} {medians['last', name] * 1000:8.1f} ms")
    total = sum(medians["last", name] for name in names if name != "frozen forward")
    total -= medians["last", "frozen forward"]  # both the teacher's step and its forward have it
    print(f"last blocks over the sum of their parts: {medians['last', 'prokt'] / total:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        our_side(arguments)
    else:
        own = ("teacher", "blocks", "rank")
        options = [part for name in own for part in (f"--{name}", str(getattr(arguments, name)))]
        measure(options, arguments.repeats)


if __name__ == "__main__":
    main()
