"""The same judgement for everyone's eigenpairs, by a product that no contender made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from contenders import TOL, Solution

from landscape.curvature.krylov import SymmetricOperator

_COLUMNS = 4  # vectors multiplied at once


@dataclass(frozen=True, eq=False)
class Verdict:
    """What pairs are worth: residuals (k,) = ||Hv - value v|| over |value|, v of unit length, and |VV' - I| at most."""

    residuals: np.ndarray
    orthogonality: float

    @property
    def within(self) -> int:
        """How many pairs have a residual within TOL of their own |value|."""
        return int(np.sum(self.residuals <= TOL))

    @property
    def worst(self) -> float:
        """The largest residual over its own |value|."""
        return float(np.max(self.residuals, initial=0.0))


def judge(H: SymmetricOperator, solution: Solution) -> Verdict:
    """Judge a solution by the products of H (P, P), which had better be exact to float64."""
    vectors = solution.vectors.double()
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    values = torch.from_numpy(solution.values)
    lengths = []
    for start in range(0, len(values), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        products = (H @ vectors[part].T).T
        lengths.append((products - values[part, None] * vectors[part]).norm(dim=1))
    overlaps = vectors @ vectors.T - torch.eye(len(values), dtype=torch.float64)
    residuals = (torch.cat(lengths) / values.abs()).numpy()
    return Verdict(residuals, float(overlaps.abs().max()))
