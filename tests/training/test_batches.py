"""The cut of an epoch into batches, and its order."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.training.batches import batch_bounds, epoch_order


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (11, 4, [4, 4, 3]),
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (3, 1, [1, 1, 1]),
        (1, 1, [1]),
        (4, 4, [4]),
        (3, 2, [3]),
    ],
)
def test_every_example_is_in_one_batch_and_none_is_left_alone(n, batch_size, sizes):
    bounds = batch_bounds(n, batch_size)
    assert [end - start for start, end in bounds] == sizes
    assert [start for start, _ in bounds] + [n] == [0] + [end for _, end in bounds]


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="--batch-size 10 or less"):
        batch_bounds(10, 11)


def test_the_order_follows_from_seed_and_epoch_alone():
    first = epoch_order(50, seed=3, epoch=1)
    assert sorted(first) == list(range(50))
    assert np.array_equal(first, epoch_order(50, seed=3, epoch=1))
    assert not np.array_equal(first, epoch_order(50, seed=3, epoch=2))
    assert not np.array_equal(first, epoch_order(50, seed=4, epoch=1))
