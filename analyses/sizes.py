"""The largest eigenvalues on nested subsets of the examples: how far they are from settled at all n."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from landscape.curvature import (
    Eigenpairs,
    curvature_by_example,
    standard_error,
    top_eigenpairs,
)
from landscape.data import Examples, ImageData, select
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.streams import stream_key

FEW = 3  # eigenvalues followed, at most


def check_sizes(sizes: Sequence[int], n: int) -> tuple[int, ...]:
    """Return the sizes in ascending order; raise UsageError unless each is 2 or more and below the n examples."""
    if any(isinstance(size, bool) or not isinstance(size, int) or not 2 <= size < n for size in sizes):
        raise UsageError(
            f"sizes = {','.join(map(str, sizes))}; wanted whole numbers from 2 to {n - 1:,}, below the {n:,} examples"
        )
    return tuple(sorted(set(sizes)))


def by_size(
    frozen: Objective,
    data: ImageData,
    examples: Examples,
    sizes: Sequence[int],
    pairs: Eigenpairs,
    errors: np.ndarray,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None,
    **settings: Any,
) -> dict[str, np.ndarray]:
    """Return the arrays of the first few eigenvalues for each of `sizes`, those of all examples last.

    The subsets are those that the same seed chooses for so many examples, with the same adversarial images; `pairs` and
    their standard `errors` are those of all; `settings` are the solver's. Each size starts afresh: a start from
    another size's eigenvectors saves no products.
    """
    few = min(FEW, len(pairs.values))
    rows = []
    for number, size in enumerate(sizes):
        if progress is not None:
            progress(number, len(sizes))
        rows.append(of_size(frozen, data, examples, size, few, seed=seed, **settings))
    if progress is not None:
        progress(len(sizes), len(sizes))
    rows.append((pairs.values[:few], pairs.residuals[:few], errors[:few]))
    values, residuals, deviations = (np.stack(columns) for columns in zip(*rows, strict=True))
    return {
        "by_size/n": np.array([*sizes, frozen.n]),
        "by_size/eigenvalues": values,
        "by_size/residuals": residuals,
        "by_size/eigenvalue_se": deviations,
    }


def of_size(
    frozen: Objective, data: ImageData, examples: Examples, size: int, few: int, *, seed: int, **settings: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first `few` eigenvalues over `size` of the examples, their residuals and standard errors."""
    part = frozen.part(torch.isin(examples.indices, select(data, size, seed=seed).indices).nonzero()[:, 0])
    H = part.hessian()
    generator = torch.Generator().manual_seed(stream_key(seed, "lanczos") >> 1)
    found = top_eigenpairs(H, few, generator=generator, strict=False, **settings)
    H.release()
    terms = curvature_by_example(part, part.w0, found.vectors)
    return found.values, found.residuals, standard_error(terms.curvature)
