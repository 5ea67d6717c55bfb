"""What a curve between two nets comes to: the ways there, their chords and barriers, for tables and pictures alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import comb

from ..errors import UsageError
from .kinds.surface import FAILED, NOT_FINITE
from .result import Result

CURVE, LINE = "", "line_"  # how the names of their arrays begin


@dataclass(frozen=True)
class Way:
    """One way between two nets at E radii, evaluated at T places in growing order; NaN where no value is known.

    t (T,), eps (E,); loss, loss_se, error_rate and its standard error error_se (E, T), in nats and as fractions; lost
    (E, T) says of a value that it was not finite or failed. barrier, barrier_low, barrier_high and over_ends (E,) are
    as in the file; top_t (E,) is where the mean over all examples rises highest above the chord.
    """

    t: np.ndarray
    eps: np.ndarray
    loss: np.ndarray
    loss_se: np.ndarray
    error_rate: np.ndarray
    error_se: np.ndarray
    lost: np.ndarray
    barrier: np.ndarray
    barrier_low: np.ndarray
    barrier_high: np.ndarray
    over_ends: np.ndarray
    top_t: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """Loss (E, 2) at the two ends, as the way has them: both under its BatchNorm policy."""
        return self.loss[:, [0, -1]]

    @property
    def relative(self) -> np.ndarray:
        """The barrier (E,) as a multiple of the mean loss of the ends."""
        return self.barrier / self.ends.mean(axis=1)


def way_of(result: Result, prefix: str = CURVE, *, split: str | None = None) -> Way:
    """Return a way between the nets of a connect result, on its own split or on another that it has.

    Raises UsageError, naming those there are, for a split that it lacks.
    """
    group = group_of(result, split)
    names = ("loss", "loss_se", "error_rate")
    order = np.argsort(result.arrays["t"], kind="stable")
    values = {name: result.arrays[f"{group}{prefix}{name}"][:, order] for name in names}
    known = np.isfinite(values["loss"])
    status = result.arrays.get(f"{group}{prefix}status")
    lost = np.isin(status[:, order], (NOT_FINITE, FAILED)) if status is not None else ~known
    values = {name: np.where(known, array, np.nan) for name, array in values.items()}
    t, rate, n = result.arrays["t"][order], values["error_rate"], _examples(result, group)
    ends = values["loss"][:, [0, -1]]
    rise = values["loss"] - (ends[:, :1] * (1 - t) + ends[:, 1:] * t)  # above the chord of the ends
    rise[:, [0, -1]] = np.nan  # exactly 0 there, and no place of a barrier
    highest = t[np.argmax(np.where(np.isfinite(rise), rise, -np.inf), axis=1)]
    return Way(
        t=t,
        eps=result.arrays["eps"],
        **values,
        error_se=np.sqrt(rate * (1 - rate) / n),
        lost=lost,
        barrier=result.arrays[f"{group}{prefix}barrier"],
        barrier_low=result.arrays[f"{group}{prefix}barrier_low"],
        barrier_high=result.arrays[f"{group}{prefix}barrier_high"],
        over_ends=result.arrays[f"{group}{prefix}barrier_over_ends"],
        top_t=highest,
    )


def in_plane(result: Result, *, count: int = 101) -> np.ndarray | None:
    """Return the curve (count, 2) on the plane through both nets and its middle control point, projected onto it.

    A curve's points are sums of its control points whose weights add up to 1, so its projection is the same sum of
    their projections. None where the file does not have these.
    """
    points = result.arrays.get("plane_points")
    if points is None:
        return None
    t = np.linspace(0, 1, count)
    if result.attrs["curve"] == "bezier":
        degree = len(points) - 1
        k = np.arange(degree + 1)
        return np.asarray(comb(degree, k) * t[:, None] ** k * (1 - t[:, None]) ** (degree - k) @ points)
    knots = np.linspace(0, 1, len(points))
    return np.stack([np.interp(t, knots, points[:, axis]) for axis in (0, 1)], axis=1)


def splits_of(result: Result) -> list[str]:
    """Return the splits that a connect result has numbers of, its own first."""
    others = [split for split in ("train", "test") if f"{split}/loss" in result.arrays]
    return [str(result.attrs.get("split")), *others]


def group_of(result: Result, split: str | None) -> str:
    """Return how the names of a split's arrays begin: with nothing for the result's own, None standing for that."""
    if split is None or split == result.attrs.get("split"):
        return ""
    if f"{split}/loss" not in result.arrays:
        raise UsageError(f"there is no {split} split in this result, which has {' and '.join(splits_of(result))}")
    return f"{split}/"


def _examples(result: Result, group: str) -> float:
    count = result.attrs.get("n_examples" if not group else "other_examples")
    return float(count) if isinstance(count, int) else np.nan
