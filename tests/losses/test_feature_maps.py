"""Average pooling between maps of different sizes equals explicit loops; shapes are checked.

`tests/mutants.py` lists mistakes that make a test of this file fail.
"""

import numpy as np
import pytest
from keras import ops
from losses.gradients import compiled

from keras_prokt.losses.feature_maps import average_pool, check_feature_maps, to_same_size

RNG = np.random.default_rng(0)


def pooled(feature_map, height, width):
    """The mean over each rectangle, in double precision."""
    rows, columns = feature_map.shape[1:3]
    result = np.zeros((len(feature_map), height, width, feature_map.shape[-1]))
    for i in range(height):
        for j in range(width):
            top, left = int(np.floor(i * rows / height)), int(np.floor(j * columns / width))
            bottom = int(np.ceil((i + 1) * rows / height))
            right = int(np.ceil((j + 1) * columns / width))
            result[:, i, j] = feature_map[:, top:bottom, left:right].mean((1, 2))
    return result


@pytest.mark.parametrize(
    ("size", "smaller"),
    [((8, 8), (4, 4)), ((8, 8), (2, 2)), ((4, 6), (4, 2)), ((7, 7), (4, 4)), ((5, 8), (3, 4))],
)
def test_average_pool_equals_loops(size, smaller):
    feature_map = RNG.normal(size=(3, *size, 2))
    received = compiled(lambda m: average_pool(m, *smaller), feature_map)
    np.testing.assert_allclose(received, pooled(feature_map, *smaller), rtol=1e-5, atol=1e-6)


def test_the_larger_map_is_pooled_whichever_it_is():
    large, small = RNG.normal(size=(2, 8, 8, 3)), RNG.normal(size=(2, 4, 4, 5))
    for teacher, student in ((large, small), (small, large)):
        received = to_same_size(teacher, student)
        for one, given in zip(received, (teacher, student), strict=True):
            np.testing.assert_allclose(
                ops.convert_to_numpy(one), pooled(given, 4, 4), rtol=1e-5, atol=1e-6
            )
    tall, wide = RNG.normal(size=(2, 8, 2, 3)), RNG.normal(size=(2, 4, 4, 3))
    assert [tuple(m.shape) for m in to_same_size(tall, wide)] == [(2, 4, 2, 3)] * 2


class Unknown:
    shape = (None, None, None, 3)


def test_maps_of_unknown_size_are_refused():
    with pytest.raises(ValueError, match="input of fixed size"):
        to_same_size(Unknown(), np.zeros((1, 4, 4, 3)))


def test_shapes_that_cannot_be_matched_are_refused():
    shape = (None, 4, 4, 3)
    check_feature_maps("at", [shape], [(None, 8, 8, 2)])
    check_feature_maps("at", [shape, shape], [shape])
    with pytest.raises(
        ValueError, match=r"objective 'at', received 0 of the teacher.*teacher_taps"
    ):
        check_feature_maps("at", [], [shape])
    with pytest.raises(ValueError, match=r"stages of the student .* received \(None, 7\)"):
        check_feature_maps("at", [shape], [(None, 7)])
    with pytest.raises(ValueError, match="stages of the teacher"):
        check_feature_maps("at", [(None, None, 4, 3)], [shape])
