"""How a gradient changes as weights and adversary move: the change in two parts, in both orders, with their errors.

From (w0, adversary of w0) to (w, adversary of w) there are two ways. Weights first: F = g(w, a0) - g(w0, a0) is the
part of the change with the adversary frozen, and M = g(w, a) - g(w, a0) the part due to its move. Adversary first: its
move comes at w0, M' = g(w0, a) - g(w0, a0), and the weights follow, F' = g(w, a) - g(w0, a). Both sum to the change.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

# The vectors whose inner products say everything, in the order of a Gram matrix.
_START, _END, _FROZEN, _MOVE, _FROZEN_LATER, _MOVE_FIRST = range(6)
_COLUMNS = 2**18  # of the gradients that are taken in float64 at once

STATISTICS = (
    "gradient_cosine", "gradient_cosine_frozen", "gradient_norm", "gradient_difference", "gradient_difference_frozen",
    "gradient_difference_adversary", "gradient_difference_inner", "adversary_first_frozen", "adversary_first_adversary",
    "adversary_first_inner", "adversary_share",
)  # fmt: skip


def statistics_of(gram: np.ndarray) -> dict[str, np.ndarray]:
    """Return the statistics (...) by name that Gram matrices (..., 6, 6) of `gram_of` give.

    `adversary_share` is the part of the change that the adversary's move makes: <M, F + M> / ||F + M||^2, the mean over
    both orders. It and the frozen share sum to 1; either may be negative. NaN where nothing changes.
    """

    def inner(one: int, other: int) -> np.ndarray:
        return gram[..., one, other]

    def norm(one: int) -> np.ndarray:
        return np.sqrt(np.maximum(inner(one, one), 0))

    squared = np.maximum(inner(_FROZEN, _FROZEN) + 2 * inner(_FROZEN, _MOVE) + inner(_MOVE, _MOVE), 0)
    moves = sum(
        inner(move, move) + inner(frozen, move) for frozen, move in ((_FROZEN, _MOVE), (_FROZEN_LATER, _MOVE_FIRST))
    )
    held = np.sqrt(np.maximum(inner(_START, _START) + 2 * inner(_START, _FROZEN) + inner(_FROZEN, _FROZEN), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "gradient_cosine": inner(_START, _END) / (norm(_START) * norm(_END)),
            "gradient_cosine_frozen": (inner(_START, _START) + inner(_START, _FROZEN)) / (norm(_START) * held),
            "gradient_norm": norm(_END),
            "gradient_difference": np.sqrt(squared),
            "gradient_difference_frozen": norm(_FROZEN),
            "gradient_difference_adversary": norm(_MOVE),
            "gradient_difference_inner": inner(_FROZEN, _MOVE),
            "adversary_first_frozen": norm(_FROZEN_LATER),
            "adversary_first_adversary": norm(_MOVE_FIRST),
            "adversary_first_inner": inner(_FROZEN_LATER, _MOVE_FIRST),
            "adversary_share": moves / (2 * squared),
        }


def gram_of(start: Tensor, held: Tensor, moved: Tensor, end: Tensor) -> np.ndarray:
    """Return the inner products (6, K, 6, K), float64, of K rows each: g and its parts, in the order of this module.

    The gradients (K, P) are g(w0, a0), g(w, a0), g(w0, a) and g(w, a). Differences are taken before products: those of
    two large squares would be lost in their rounding.
    """
    rows = len(start)
    total = torch.zeros(6 * rows, 6 * rows, dtype=torch.float64, device=start.device)
    for column in range(0, start.shape[1], _COLUMNS):
        s, h, m, e = (part[:, column : column + _COLUMNS].double() for part in (start, held, moved, end))
        stack = torch.cat([s, e, h - s, e - h, e - m, m - s])
        total += stack @ stack.T
    return total.view(6, rows, 6, rows).cpu().numpy()


def with_errors(gram: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Return the statistics of the mean over all examples, and the standard error of each over examples, NAME_se.

    `gram` (6, K, 6, K) is of sums over K groups of examples, of `sizes` (K,). The errors are the jackknife's with a
    group left out at a time; of a single group there are none (NaN).
    """
    groups, n = len(sizes), sizes.sum()
    kept = np.ones((groups + 1, groups))
    kept[1:] -= np.eye(groups)
    weights = kept / np.maximum(kept @ sizes, 1)[:, None]
    found = statistics_of(np.einsum("rk,akbl,rl->rab", weights, gram, weights))
    assert n > 0
    values = {name: float(part[0]) for name, part in found.items()}
    for name, part in found.items():
        spread = part[1:] - part[1:].mean()
        values[f"{name}_se"] = math.sqrt((groups - 1) / groups * float(spread @ spread)) if groups > 1 else math.nan
    return values
