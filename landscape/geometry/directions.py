"""Directions in weight space: eigenvectors, random ones (filter-normalised), those between nets, and PCA of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..params import ParameterSpace
from ..streams import stream

LENGTH, FILTERS, AS_GIVEN = "Euclidean length", "filter norm", "direction"  # what a coordinate of 1 is


@dataclass(frozen=True, eq=False)
class Directions:
    """One or two directions (1 or 2, P) with their names; `units` says what a coordinate of 1 along them is.

    `explained` is the share of a trajectory's squared distances that lies along each, where they are its principal
    directions.
    """

    vectors: Tensor
    names: tuple[str, ...]
    units: str = LENGTH
    explained: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.vectors.dim() != 2 or len(self.vectors) not in (1, 2) or len(self.vectors) != len(self.names):
            raise UsageError(
                f"directions of shape {tuple(self.vectors.shape)} with {len(self.names)} names came; "
                "wanted one or two rows (1 or 2, P), each with its name"
            )


def unit_directions(vectors: Tensor, names: Sequence[str]) -> Directions:
    """Return the rows (1 or 2, P) scaled to length 1: coordinates along them are Euclidean lengths."""
    lengths = vectors.double().norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all() and torch.isfinite(lengths).all()):
        raise UsageError("a direction is zero or not finite; give directions of positive, finite length")
    return Directions((vectors.double() / lengths).to(vectors.dtype), tuple(names))


def random_directions(
    space: ParameterSpace, w: Tensor, *, seed: int = 0, count: int = 2, perturb_1d: bool = False
) -> Directions:
    """Return Gaussian directions (count, P), each filter scaled to the norm of the filter of w (P,) that it moves.

    A filter is a slice of a parameter along its first axis (Li et al. 2018, section 4). Parameters of one axis (biases,
    BatchNorm) stay where they are, as in that paper's figures; with `perturb_1d` they move, scaled as a whole. What is
    drawn for direction i is a function of (seed, i) and the shapes alone.
    """
    rows = torch.stack([random_direction(space, w, i, seed=seed, perturb_1d=perturb_1d) for i in range(count)])
    names = tuple(f"random direction {number} (seed {seed})" for number in range(count))
    return Directions(rows, names, FILTERS)


def random_direction(
    space: ParameterSpace, w: Tensor, number: int, *, seed: int = 0, perturb_1d: bool = False
) -> Tensor:
    """Return the `number`-th of the directions (P,) that `random_directions` describes."""
    drawn = torch.from_numpy(stream(seed, f"direction{number}").standard_normal(space.n_parameters)).to(w)
    pieces = []
    for piece, weight in zip(space.split(drawn), space.split(w), strict=True):
        if weight.dim() > 1:
            norms = piece.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1)
            scale = (norms[1] / norms[0]).view(-1, *[1] * (weight.dim() - 1))
        else:
            scale = weight.norm() / piece.norm() if perturb_1d else torch.zeros((), dtype=w.dtype, device=w.device)
        pieces.append((piece * scale).reshape(-1))
    direction = torch.cat(pieces)
    if not bool(direction.any()):
        raise UsageError("every weight that a random direction would move is zero; give other directions (--dirs top2)")
    return direction


def directions_through(points: Tensor, names: Sequence[str]) -> Directions:
    """Return unit directions at right angles that lead from the first of two or three points (2 or 3, P) to the others.

    The second point lies on the first axis; the third in the plane, on the second axis's positive side. Raises
    UsageError where the points coincide, or three lie on one line.
    """
    rows: list[Tensor] = []
    for name, point in zip(names[1:], points[1:], strict=True):
        shift = point.double() - points[0].double()
        length = float(shift.norm())
        for row in rows:
            shift = shift - (row @ shift) * row
        left = float(shift.norm())
        if length == 0:
            raise UsageError(f"{names[0]} and {name} hold the same weights, and no line leads through them")
        if left <= 1e-6 * length:
            raise UsageError(f"{', '.join(names)} lie on one line and span no plane; give two of them")
        rows.append(shift / left)
    titles = [f"{names[0]} to {names[1]}", f"towards {names[2]}"] if len(names) > 2 else [f"{names[0]} to {names[1]}"]
    return Directions(torch.stack(rows).to(points.dtype), tuple(titles))


def principal_directions(points: Tensor, *, count: int = 2) -> Directions:
    """Return the principal directions (count, P), of length 1, of the way that points (T, P) took to the last of them.

    They hold the largest shares (`explained`) of the squared distances from the last point (Li et al. 2018, section 7).
    The P x P covariance is never formed. Raises UsageError for fewer points than directions need.
    """
    shifts = (points - points[-1]).double()[:-1]
    if len(shifts) < count:
        raise UsageError(f"{len(points)} checkpoints came; {count} principal directions need {count + 1} or more")
    values, vectors = np.linalg.eigh((shifts @ shifts.T).cpu().numpy())
    order = np.argsort(values)[::-1][:count]
    if not values[order[-1]] > 1e-12 * max(values[order[0]], 1e-300):
        raise UsageError(
            f"the {len(points)} checkpoints span fewer than {count} directions; give more, or another --dirs"
        )
    rows = torch.from_numpy(vectors[:, order].T.copy()).to(shifts) @ shifts
    rows /= rows.norm(dim=1, keepdim=True)
    # An eigenvector has no sign: the run comes from the positive side of each axis.
    rows *= torch.where(rows @ shifts[0] < 0, -1.0, 1.0).unsqueeze(1)
    shares = tuple(float(value) for value in values[order] / values.clip(0).sum())
    names = tuple(f"principal direction {i + 1} ({100 * share:.1f} %)" for i, share in enumerate(shares))
    return Directions(rows.to(points.dtype), names, LENGTH, shares)
