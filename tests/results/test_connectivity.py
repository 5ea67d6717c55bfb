"""Ways between nets: ends, barriers and lost values are the file's, whichever split and order."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.results import Result
from landscape.results.connectivity import LINE, splits_of, way_of
from tests.results.made_connect import NOT_FINITE, connect


def test_a_way_has_the_files_values_and_rises_highest_above_its_chord() -> None:
    made = connect(eps=(0, 0.1), hump=(0.5, 0.7))
    way = way_of(made)
    np.testing.assert_array_equal(way.loss, made.loss)
    np.testing.assert_allclose(way.ends, [[0.1, 0.3], [0.3, 0.5]])
    # The hump stands on the chord, highest in the middle: the rise there is the barrier.
    np.testing.assert_allclose(way.top_t, 0.5)
    np.testing.assert_allclose(way.loss[:, 10] - way.ends.mean(1), way.barrier)
    np.testing.assert_allclose(way.relative, [0.5 / 0.2, 0.7 / 0.4])
    np.testing.assert_allclose(way.error_se, np.sqrt(way.error_rate * (1 - way.error_rate) / 2000))
    below = way_of(connect(hump=(-0.5, -0.7)))  # the ends rise by 0, and are no place of a barrier
    np.testing.assert_allclose(np.abs(below.top_t - 0.5), 0.45)
    assert way_of(made, LINE).barrier.tolist() == [2.0, 2.0]


def test_points_in_another_order_are_the_same_way() -> None:
    made = connect(t=[0, 0.25, 0.5, 1])
    order = [2, 0, 3, 1]
    arrays = {
        name: array[order] if name == "t" else array[:, order] if array.shape[1:] == (4,) else array
        for name, array in made.arrays.items()
    }
    mixed = way_of(Result("connect", arrays, made.attrs))
    assert mixed.t.tolist() == [0, 0.25, 0.5, 1]
    np.testing.assert_array_equal(mixed.loss, made.loss)


def test_what_is_lost_is_told_by_its_status_or_by_its_value() -> None:
    made = connect(lost={(1, 4): NOT_FINITE})
    assert np.argwhere(way_of(made).lost).tolist() == [[1, 4]]
    without = {name: array for name, array in made.arrays.items() if "status" not in name}
    assert np.argwhere(way_of(Result("connect", without, made.attrs)).lost).tolist() == [[1, 4]]
    assert not way_of(made, LINE).lost.any()


def test_the_other_split_is_asked_for_by_its_name() -> None:
    made = connect(other="test")
    assert splits_of(made) == ["train", "test"]
    np.testing.assert_allclose(way_of(made, split="test").barrier, 1.5 * way_of(made).barrier)
    assert np.isnan(way_of(made, split="test").error_se).all()  # over how many examples, the file does not say
    counted = connect(other="test", other_examples=400)
    assert np.isfinite(way_of(counted, split="test").error_se).all()
    with pytest.raises(UsageError, match="there is no test split in this result, which has train"):
        way_of(connect(), split="test")
