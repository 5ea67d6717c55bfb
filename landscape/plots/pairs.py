"""Pairs of nets that were trained alike and the ways between each, as numbers: groups, medians, barriers over pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..results.connectivity import Way, way_of
from ..results.result import Result
from ..statistics import paired_over_seeds
from .connect import prefixes_of
from .connect_figure import pair_name
from .labels import settings_key, told_apart

LEAST = 3  # pairs: two say nothing of how far pairs scatter


@dataclass(frozen=True)
class Group:
    """The pairs of nets of one training recipe: `results`, one each, and `budgets`, those of shorter trainings too."""

    label: str
    eps: float
    results: tuple[Result, ...]
    budgets: tuple[Result, ...]

    def radii(self, asked: float | None = None) -> list[float]:
        """Return the radii that the group is shown at: unattacked, and under the attack asked for, or its own."""
        ladder = self.results[0].arrays["eps"].tolist()
        wanted = self.eps if asked is None else asked
        own = min(ladder, key=lambda radius: abs(radius - wanted)) if math.isfinite(wanted) else max(ladder)
        return sorted({own, *(radius for radius in ladder if radius == 0)})


@dataclass(frozen=True)
class Estimate:
    """The mean of a number over pairs with its interval, and each pair's own.

    The interval is Student's over pairs, for a single pair the one over its examples, for two NaN.
    """

    value: float
    low: float
    high: float
    each: np.ndarray


def groups_of(results: Sequence[Result]) -> list[Group]:
    """Group results by how their nets were trained, in the order of eps; of each pair the longest training counts.

    Raises UsageError where a pair comes twice with one training, for it counts once.
    """
    held: dict[str, list[Result]] = {}
    for result in results:
        held.setdefault(settings_key(_as_trained(result)), []).append(result)
    ordered = sorted(held.values(), key=lambda members: _order(members[0]))
    labels = told_apart([_as_trained(members[0]) for members in ordered])
    groups = []
    for label, members in zip(labels, ordered, strict=True):
        pairs: dict[str, list[Result]] = {}
        for result in members:
            alike = pairs.setdefault(pair_of(result), [])
            if any(budget_of(other) == budget_of(result) for other in alike):
                raise UsageError(
                    f"{pair_name(result)} came twice with one training of the curve; a pair counts once, leave one out"
                )
            alike.append(result)
        longest = tuple(max(alike, key=budget_of) for alike in pairs.values())
        groups.append(Group(label, _trained(members[0]), longest, tuple(members)))
    return groups


def shared_nets(group: Group) -> int:
    """Return how many nets are in several pairs of a group: its pairs are then no independent repeats."""
    nets = [name for result in group.results for name in _nets(result)]
    return sum(nets.count(name) > 1 for name in set(nets))


def ways_at(results: Sequence[Result], prefix: str, eps: float, *, split: str | None = None) -> list[tuple[Way, int]]:
    """Return the ways of a kind that results have at a radius, each with the number of that radius in its ladder."""
    found = []
    for result in results:
        if prefix not in prefixes_of(result):
            continue
        way = way_of(result, prefix, split=split)
        (rungs,) = np.nonzero(np.isclose(way.eps, eps, rtol=1e-9, atol=1e-12))
        found += [(way, int(rung)) for rung in rungs]
    return found


def over_pairs(ways: Sequence[tuple[Way, int]], *, relative: bool = False) -> Estimate:
    """Return the mean barrier of ways, or of barriers as multiples of the mean loss of their ends."""
    each, low, high = (
        np.array([float(getattr(way, name)[rung] / (way.ends[rung].mean() if relative else 1)) for way, rung in ways])
        for name in ("barrier", "barrier_low", "barrier_high")
    )
    known = each[np.isfinite(each)]
    if len(each) == 1:
        return Estimate(float(each[0]), float(low[0]), float(high[0]), each)
    if len(known) < LEAST:
        return Estimate(float(known.mean()) if known.size else math.nan, math.nan, math.nan, each)
    mean = paired_over_seeds(known.tolist(), [0.0] * len(known))
    return Estimate(mean.value, mean.low, mean.high, each)


def median(ways: Sequence[tuple[Way, int]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the places t that all ways have, and the median there."""
    shared = ways[0][0].t
    for way, _ in ways[1:]:
        shared = shared[np.isclose(shared[:, None], way.t, rtol=0, atol=1e-9).any(axis=1)]
    rows = [
        getattr(way, name)[rung][np.abs(way.t - shared[:, None]).argmin(axis=1)] for way, rung in ways
    ]  # (pairs, places)
    return shared, np.median(rows, axis=0)


def is_plane_of(surface: Result, result: Result) -> bool:
    """Say whether a surface is the plane through both nets of a curve and its middle control point."""
    points, marks = result.arrays.get("plane_points"), surface.arrays.get("landmarks/x")
    if points is None or marks is None or len(marks) != 3 or surface.arrays["y"].size == 1:
        return False
    middle = max(len(points) - 3, 0) // 2 + 1
    wanted = points[[0, -1, middle]]
    found = np.stack([marks, surface.arrays["landmarks/y"]], axis=1)
    return bool(np.allclose(found, wanted, rtol=0, atol=1e-3 * float(str(result.attrs["line_length"]))))


def budget_of(result: Result) -> tuple[int, int]:
    """Return how much a curve was trained: its steps, then its interior points."""
    return int(str(result.attrs["steps"])), int(str(result.attrs["interior_points"]))


def pair_of(result: Result) -> str:
    """Return what a pair of nets is told from others by, in either order."""
    return repr(sorted(_nets(result)))


def _as_trained(result: Result) -> Result:
    # Groups are called by the radius that their nets were trained at; what they are attacked with is a ladder.
    return Result._as_read(result.kind, result.arrays, {**result.attrs, "eps": result.attrs["train_eps"]})


def _nets(result: Result) -> list[str]:
    for name in ("checkpoint_sha256", "checkpoint"):
        found = result.attrs.get(name)
        if isinstance(found, list):
            return [str(item) for item in found]
    return [str(id(result))]


def _trained(result: Result) -> float:
    value = result.attrs.get("train_eps")
    return float(value) if isinstance(value, float) else math.nan


def _order(result: Result) -> float:
    return math.inf if math.isnan(_trained(result)) else _trained(result)
