"""The one number that a result gives to a comparison, with what it is over examples: by kind and quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from ..errors import ResultError, UsageError
from ..spec import nearest
from ..units import format_eps
from .barrier import measure_barrier
from .kinds.surface import EVALUATED, INTERPOLATED
from .kinks import Verdict
from .result import Result
from .scattering_quantities import SCATTERING_MEASURES, needs_distance, of_scattering
from .sharpness_quantities import SHARPNESS_MEASURES, is_rise, of_sharpness
from .store import read_result

Measured = tuple[float, np.ndarray | None, float]  # the number, its parts (N,) by example, its standard error

# The quantities of each kind, the default first: in words, and the unit.
MEASURES: dict[str, dict[str, tuple[str, str]]] = {
    "hessian": {
        "lambda_1": ("largest Hessian eigenvalue", "nats"),
        "trace": ("trace of the Hessian", "nats"),
        "loss": ("loss at the weights", "nats"),
        "lambda_1/loss": ("largest Hessian eigenvalue over the loss", "1"),
        "added": ("curvature along v1 that an adversary attacking anew adds", "nats"),
        "added/lambda_1": ("the same over the largest Hessian eigenvalue", "1"),
        "kinks": ("share of examples with a kink along v1", "1"),
    },
    "surface": {
        "rise": ("mean rise of the loss above the net's", "nats"),
        "loss": ("loss at the weights", "nats"),
        "rise/loss": ("mean rise over the loss at the net", "1"),
    },
    "sharpness": SHARPNESS_MEASURES,
    "scattering": SCATTERING_MEASURES,
    "connect": {
        "barrier": ("barrier of the curve", "nats"),
        "line_barrier": ("barrier of the line", "nats"),
        "barrier/loss": ("barrier of the curve over the ends' loss", "1"),
        "line_barrier/loss": ("barrier of the line over the ends' loss", "1"),
    },
    "evaluate": {"worst_case": ("error under the worst of all attacks", "1"), "ATTACK": ("error under ATTACK", "1")},
}
_ANGLES = 96  # of the circle that --at asks for
_RISES = ("rise", "rise/loss")
_REATTACKED = ("added", "added/lambda_1", "kinks")
_KNOWN = (EVALUATED, INTERPOLATED)


@dataclass(frozen=True)
class Choice:
    """What is measured: a kind's quantity in words and unit, on surfaces where, and over which cells (ny, nx)."""

    kind: str
    quantity: str
    words: str
    unit: str
    at: float | None = None
    cells: np.ndarray | None = None

    @classmethod
    def of(cls, results: Sequence[Result], *, quantity: str | None, at: float | None) -> Choice:
        """Return the choice for results of one kind; raise UsageError where they have no such quantity."""
        kind = results[0].kind
        known = MEASURES[kind]
        quantity = quantity or next(iter(known))
        placed = kind == "scattering" and needs_distance(quantity)
        rises = (kind == "surface" and quantity in _RISES) or (kind == "sharpness" and is_rise(quantity))
        steps = kind == "hessian" and quantity in _REATTACKED
        if at is not None and not (rises or steps or placed):
            raise UsageError(
                "--at is a radius around the net: for the rises of surfaces and sharpness, for scattering, and what an "
                "adversary attacking anew adds; leave it out"
            )
        if at is not None and not 0 < at < math.inf:
            raise UsageError(f"--at {at:g} is no radius; give a positive one, in the units of the surface's axes")
        words, unit = known.get(quantity, ("", ""))
        if kind == "evaluate" and quantity != "worst_case":
            attacks = [str(name) for name in results[0].arrays["attacks"]]
            for result in results:
                if quantity not in [str(name) for name in result.arrays["attacks"]]:
                    raise UsageError(f"no attack {quantity!r} in these files; {nearest(quantity, attacks)}")
            words, unit = f"error, {quantity}", "1"
        elif quantity not in known:
            raise UsageError(f"{kind} results have no quantity {quantity!r}; {nearest(quantity, known)}")
        if kind == "evaluate" and any("example_loss" in result.arrays for result in results):
            if not all("example_loss" in result.arrays for result in results):
                raise UsageError("some files tell errors and others, of labels that are numbers, losses; compare apart")
            words, unit = words.replace("error", "loss"), "nats"
        if kind == "surface" and rises:
            words += f" at radius {at:g}" if at is not None else " over the range"
        elif steps:
            words += f", h = {at:g}" if at is not None else ", middle step"
        elif placed:
            words += f" at a {results[0].attrs['positions']} of {at:g}" if at is not None else " at the middle position"
        elif rises:
            words += f" of {at:g}" if at is not None else " of the middle radius"
        return cls(kind, quantity, words, unit, at)

    @property
    def cautions(self) -> list[str]:
        """What must be said of the choice itself."""
        if self.cells is None or self.cells.all():
            return []
        return [f"over {int(self.cells.sum()):,} of {self.cells.size:,} points: the others are not known in every file"]


def chosen_eps(result: Result, eps: float | None) -> float:
    """Return the radius to compare a result at: `eps`, else its only one, else that of its net's training.

    Raises UsageError where a ladder has no such radius.
    """
    if "eps" not in result.arrays:  # no ladder
        own = float(str(result.attrs["eps"]))
        if eps is not None and not math.isclose(own, eps, rel_tol=1e-9, abs_tol=1e-12):
            raise UsageError(f"--eps {format_eps(eps)} was asked, and a file is of eps {format_eps(own)}; leave it out")
        return own
    ladder = result.arrays["eps"]
    wanted = eps if eps is not None else float(str(result.attrs["train_eps"]))
    if eps is None and len(ladder) == 1:
        return float(ladder[0])
    rung = int(np.argmin(np.abs(ladder - wanted))) if math.isfinite(wanted) else 0
    if not math.isclose(ladder[rung], wanted, rel_tol=1e-9, abs_tol=1e-12):
        there = ", ".join(map(format_eps, ladder))
        raise UsageError(
            f"a {result.kind} result has eps {there}, and not {format_eps(wanted)}; give --eps, one that all have"
        )
    return float(ladder[rung])


def cells_known(
    paths: Sequence[Path], results: Sequence[Result], radii: Sequence[float], choice: Choice
) -> np.ndarray | None:
    """Return which cells (ny, nx) have a value in every file, for the mean over a range; None where none is taken.

    Raises ResultError where the ranges differ or no cell is left.
    """
    if choice.kind != "surface" or choice.quantity not in _RISES or choice.at is not None:
        return None
    found: np.ndarray | None = None
    for path, result, radius in zip(paths, results, radii, strict=True):
        for name in "xy":
            ours, first = result.arrays[name], results[0].arrays[name]
            if ours.shape != first.shape or not np.allclose(ours, first, rtol=1e-9, atol=1e-12):
                raise ResultError(
                    f"{name} differs: {_extent(first)} in {paths[0]}, {_extent(ours)} in {path}; scan all nets over "
                    "one --range and --grid, or compare --at a radius that all cover"
                )
        rung = _rung(result, radius)
        known = np.isin(result.arrays["status"][rung], _KNOWN) & np.isfinite(result.arrays["loss"][rung])
        found = known if found is None else found & known
    if found is None or not found.any():
        raise ResultError("no point has a finite value in every file; compare --at a smaller radius")
    return found


def measure(path: Path, result: Result, eps: float, choice: Choice, row: int) -> Measured:
    """Return the number that a file gives (its `row`-th net), its parts by example if stored, its standard error."""
    if choice.kind == "evaluate":
        return _of_evaluation(result, choice, row)
    if choice.kind == "surface":
        return _of_surface(path, result, eps, choice)
    if choice.kind == "sharpness":
        value, error = of_sharpness(path, result, _rung(result, eps), choice.quantity, choice.at)
        return value, None, error
    if choice.kind == "scattering":
        return of_scattering(path, result, choice.quantity, choice.at)
    if choice.kind == "connect":
        return _of_connection(path, result, eps, choice)
    return _of_hessian(path, result, choice)


def _of_evaluation(result: Result, choice: Choice, row: int) -> Measured:
    names = [str(name) for name in result.arrays["attacks"]]
    if "example_loss" in result.arrays:  # labels are numbers, and what is compared is the loss
        losses = result.arrays["example_loss"][row]
        found = losses.max(axis=0) if choice.quantity == "worst_case" else losses[names.index(choice.quantity)]
        n = len(found)
        return float(found.mean()), found, float(found.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    correct = result.arrays["correct"][row].astype(bool)
    wrong = ~(correct.all(axis=0) if choice.quantity == "worst_case" else correct[names.index(choice.quantity)])
    return float(wrong.mean()), wrong.astype(float), math.nan


def _of_hessian(path: Path, result: Result, choice: Choice) -> Measured:
    attrs = result.attrs

    def number(name: str) -> float:
        value = attrs.get(name)
        return float(value) if isinstance(value, int | float) else math.nan

    if choice.quantity == "loss":
        return number("loss"), None, number("loss_se")
    if choice.quantity == "trace":
        if "trace" not in attrs:
            raise ResultError(f"{path} has no trace; make it again with --density, or choose another --quantity")
        probes = int(number("density_probes"))
        half = (number("trace_high") - number("trace_low")) / 2  # Student's, over the probes
        return number("trace"), None, half / float(stdtrit(probes - 1, 0.975)) if probes > 1 else math.nan
    if choice.quantity in _REATTACKED:
        return _of_reattack(path, result, choice)
    if not result.arrays["eigenvalues"].size:
        raise ResultError(f"{path} has no eigenvalue; leave it out")
    value, error = float(result.arrays["eigenvalues"][0]), float(result.arrays["eigenvalue_se"][0])
    if choice.quantity == "lambda_1":
        return value, None, error
    loss = number("loss")
    # Both errors at their worst together: the two are over the same examples, and how they go together is not stored.
    return value / loss, None, abs(value / loss) * (error / abs(value) + number("loss_se") / loss)


def _of_reattack(path: Path, result: Result, choice: Choice) -> Measured:
    held = read_result(path, only=[f"reattack/{name}" for name in ("h", "curvature", "frozen", "verdict")]).arrays
    if "reattack/h" not in held:
        raise ResultError(f"{path} has no adversary attacking anew; make it again with --adversary reattack")
    h = held["reattack/h"]
    step = len(h) // 2 if choice.at is None else int(np.argmin(np.abs(h - choice.at)))
    if choice.at is not None and not math.isclose(h[step], choice.at, rel_tol=1e-9):
        there = ", ".join(f"{value:g}" for value in h)
        raise ResultError(f"{path} has steps h of {there}, and not {choice.at:g}; give --at one of them")
    if choice.quantity == "kinks":
        parts = (held["reattack/verdict"][0, step] == Verdict.KINK).astype(float)
    else:
        parts = held["reattack/curvature"][0, step] - held["reattack/frozen"][0, step]
    if choice.quantity == "added/lambda_1":
        parts = parts / float(result.arrays["eigenvalues"][0])  # whose own error over examples is left aside
    return float(parts.mean()), parts, math.nan


def _of_connection(path: Path, result: Result, eps: float, choice: Choice) -> Measured:
    rung, prefix = _rung(result, eps), "line_" if choice.quantity.startswith("line") else ""
    value = float(result.arrays[f"{prefix}barrier"][rung])
    low, high = (float(result.arrays[f"{prefix}barrier_{end}"][rung]) for end in ("low", "high"))
    ends = float(result.arrays[f"{prefix}loss"][rung, [0, -1]].mean())
    single = read_result(path, only=[f"{prefix}example_loss"]).arrays.get(f"{prefix}example_loss")
    relative = choice.quantity.endswith("/loss")
    if relative and not ends > 0:
        raise ResultError(f"{path} has a loss of {ends:g} at its nets; choose --quantity {prefix}barrier")
    if single is None:
        error = (high - low) / (2 * float(stdtrit(max(int(str(result.attrs["n_examples"])) - 2, 1), 0.975)))
        return (value / ends, None, error / ends) if relative else (value, None, error)
    losses = single[rung].astype(np.float64)
    parts = measure_barrier(result.arrays["t"], losses, seed=int(str(result.attrs["seed"]))).parts
    if not relative:
        return float(parts.mean()), parts, math.nan
    # A ratio of two means, to first order in each example's share: their mean is the ratio itself.
    own = losses[[0, -1]].mean(axis=0)
    ratio = float(parts.mean() / own.mean())
    return ratio, (parts - ratio * own) / own.mean() + ratio, math.nan


def _of_surface(path: Path, result: Result, eps: float, choice: Choice) -> Measured:
    rung = _rung(result, eps)
    centre = float(result.arrays["centre_loss"][rung])
    centre_error = float(result.arrays["centre_loss_se"][rung])
    if choice.quantity == "loss":
        return centre, None, centre_error
    weights = _ring(path, result, choice.at) if choice.at is not None else _mean(choice.cells)
    used = weights > 0
    loss = result.arrays["loss"][rung]
    if not (np.isin(result.arrays["status"][rung], _KNOWN) & np.isfinite(loss))[used].all():
        raise ResultError(f"{path} has no finite value at some points of radius {choice.at:g}; give a smaller --at")
    value = float((weights[used] * loss[used]).sum()) - centre
    parts = _parts(path, result, rung, weights)
    # Without the losses of single examples: as if all values erred together, which is never too small.
    error = float((weights[used] * result.arrays["loss_se"][rung][used]).sum()) + centre_error
    if choice.quantity == "rise":
        return value, parts, error if parts is None else math.nan
    if not centre > 0:
        raise ResultError(f"{path} has a loss of {centre:g} at its net, and no rise over it; choose --quantity rise")
    # Both errors at their worst together, as for lambda_1/loss.
    return value / centre, None, error / centre + abs(value) * centre_error / centre**2


def _parts(path: Path, result: Result, rung: int, weights: np.ndarray) -> np.ndarray | None:
    """Return the rise of each example (N,); None where their losses are not stored for all points, or the origin's."""
    origin = [np.flatnonzero(np.abs(result.arrays[name]) < 1e-12) for name in "yx"]
    if not all(place.size for place in origin):
        return None
    single = read_result(path, only=["example_loss"]).arrays.get("example_loss")
    if single is None:
        return None
    losses = single[rung].astype(np.float64)
    parts = np.tensordot(weights[weights > 0], losses[weights > 0], axes=1) - losses[origin[0][0], origin[1][0]]
    return parts if np.isfinite(parts).all() else None


def _mean(cells: np.ndarray | None) -> np.ndarray:
    assert cells is not None
    return cells / cells.sum()


def _ring(path: Path, result: Result, radius: float | None) -> np.ndarray:
    """Return weights (ny, nx) of the mean over a circle around the origin, bilinear between points.

    On a line they are of its two points at that distance. Raises ResultError where the circle leaves the range.
    """
    assert radius is not None
    x, y = result.arrays["x"], result.arrays["y"]
    line = y.size == 1
    angles = np.array([0.0, np.pi]) if line else 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    at_x, at_y = radius * np.cos(angles), (np.zeros(2) if line else radius * np.sin(angles))
    reach = min(-x.min(), x.max(), *(() if line else (-y.min(), y.max())))
    if radius > reach * (1 + 1e-12):
        raise ResultError(f"{path} covers radius {max(reach, 0):.4g} around its net, {radius:g} was asked; lower --at")
    weights = np.zeros((y.size, x.size))
    for column, share_x in _shares(x, at_x):
        for row, share_y in [(np.zeros(2, dtype=int), np.ones(2))] if line else _shares(y, at_y):
            np.add.at(weights, (row, column), share_x * share_y / len(angles))
    return weights


def _shares(grid: np.ndarray, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the neighbours below and above of points on a growing grid, as (indices, shares)."""
    above = np.clip(np.searchsorted(grid, points), 1, len(grid) - 1)
    share = np.clip((points - grid[above - 1]) / (grid[above] - grid[above - 1]), 0, 1)
    return [(above - 1, 1 - share), (above, share)]


def _rung(result: Result, eps: float) -> int:
    return int(np.argmin(np.abs(result.arrays["eps"] - eps)))


def _extent(grid: np.ndarray) -> str:
    return f"{grid.size} points, {grid.min():.4g} to {grid.max():.4g}"
