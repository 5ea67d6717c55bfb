"""The examples that are kept out of training, for the guard and the choice of the best epoch."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..data import ImageData
from ..errors import UsageError
from ..streams import stream


def without(data: ImageData, n: int, *, seed: int) -> tuple[ImageData, ImageData]:
    """Return a training split without n of its examples, drawn at random, and those n."""
    if n >= len(data):
        raise UsageError(
            f"holdout = {n} leaves nothing to learn from {len(data)} examples; give --holdout {len(data) // 10}"
        )
    order = torch.from_numpy(stream(seed, "holdout").permutation(len(data)))
    held, kept = order[:n].sort().values, order[n:].sort().values
    if n == 0:
        return data, replace(data, images=data.images[:0], labels=data.labels[:0])
    return tuple(replace(data, images=data.images[rows], labels=data.labels[rows]) for rows in (kept, held))  # type: ignore[return-value]
