"""The order in which a run sees its examples, and the batches it cuts them into."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..errors import UsageError
from ..streams import stream


def epoch_order(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order (n,) of an epoch's examples, a function of (seed, epoch) alone: a resumed run repeats it."""
    return stream(seed, f"order/epoch{epoch}").permutation(n)


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return the [start, end) of each batch of n examples, the ragged last one included.

    A last batch of one example joins the batch before it: BatchNorm has no variance of a single example, and no
    example is dropped. Raises UsageError where `batch_size` passes n.
    """
    if batch_size > n:
        raise UsageError(f"batch_size = {batch_size} is more than the {n} examples; give --batch-size {n} or less")
    edges = [*range(0, n, batch_size), n]
    if batch_size > 1 and n > 1 and n % batch_size == 1:
        del edges[-2]
    return list(pairwise(edges))
