"""Groups of trained nets compared: the training seed is the replicate, the examples are shared, intervals hold for few.

The standard error is the bootstrap's, over seeds and then over examples; the interval around the estimate is Student's
with that error. A percentile bootstrap of five seeds holds its 95 % in about 84 of 100 cases (see docs/method.md).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from ..streams import stream
from ..units import format_eps
from .replicates import Replicate, Replicates

LEAST = 3  # seeds: two say nothing of how far seeds scatter
LEVEL = 0.95
DRAWS = 2000
_MOST_DEGREES = 1e6  # of freedom: Student's is the normal's long before


@dataclass(frozen=True)
class Interval:
    """An estimate with its standard error and its interval at LEVEL, NaN where there are too few seeds for one.

    The standard error is then over the examples alone, and says "these nets".
    """

    value: float
    error: float
    low: float
    high: float
    degrees: float  # of freedom

    @property
    def p(self) -> float:
        """Student's two-sided p-value of no effect; NaN where there is no interval."""
        if math.isnan(self.degrees):
            return math.nan
        return (
            2 * float(stdtr(min(self.degrees, _MOST_DEGREES), -abs(self.value) / self.error))
            if self.error
            else (float(self.value == 0))
        )


@dataclass(frozen=True)
class Group:
    """The nets of one group that count, in the order of their seeds, and how many were left out as collapsed."""

    name: float | str
    nets: tuple[Replicate, ...]
    collapsed: int
    mean: Interval


@dataclass(frozen=True)
class Effect:
    """What lies between groups: a difference or a trend, over how many seeds, paired or not, and the verdict."""

    words: str
    seeds: int
    paired: bool
    interval: Interval
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """A comparison: its groups, the differences of each pair, over three numeric groups or more the trend."""

    quantity: str
    unit: str
    by: str
    groups: tuple[Group, ...]
    effects: tuple[Effect, ...]
    rank_correlation: float
    cautions: tuple[str, ...]


def compare(replicates: Replicates, *, by: str, seed: int = 0, draws: int = DRAWS) -> Comparison:
    """Compare groups of nets: their means, each pair's difference and, along numbers, the trend, with verdicts.

    Collapsed nets are left out and counted. Pairs share their training seeds where three or more occur in both.
    """
    names = sorted({net.group for net in replicates.nets}, key=lambda name: (isinstance(name, str), name))
    kept = {name: [net for net in replicates.nets if net.group == name and net.collapsed is not True] for name in names}
    rng = stream(seed, "bootstrap")
    groups = tuple(
        Group(
            name,
            tuple(sorted(kept[name], key=lambda net: (net.seed is None, net.seed))),
            sum(net.group == name and net.collapsed is True for net in replicates.nets),
            contrast([kept[name]], [1.0], paired=False, rng=rng, draws=draws),
        )
        for name in names
    )
    alive = [group for group in groups if group.nets]
    numeric = all(isinstance(group.name, float) for group in alive)
    effects = []
    if numeric and len(alive) > 2:
        places = np.array([float(group.name) for group in alive])
        slope = (places - places.mean()) / ((places - places.mean()) ** 2).sum() * np.ptp(places)
        words = f"trend, {_name(alive[0].name, by)} to {_name(alive[-1].name, by)}"
        effects.append(_effect(words, alive, slope, by, numeric, rng, draws))
    for one, other in itertools.combinations(alive, 2):
        words = f"{_name(other.name, by)} against {_name(one.name, by)}"
        effects.append(_effect(words, [one, other], np.array([-1.0, 1.0]), by, numeric, rng, draws))
    return Comparison(
        replicates.quantity,
        replicates.unit,
        by,
        groups,
        tuple(effects),
        _spearman(alive) if numeric else math.nan,
        replicates.cautions,
    )


def contrast(
    groups: Sequence[Sequence[Replicate]],
    weights: Sequence[float] | np.ndarray,
    *,
    paired: bool,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Interval:
    """Return sum_g weights_g mean_g with its interval; with `paired` the k-th nets of all groups share their seed.

    Each draw takes seeds by Hesterberg's bootknife (2004: one left out, then with replacement from the rest, so that
    the variance is not too small), then examples: the same for all nets where single ones are stored, else
    a shift of all nets of a group by their standard errors together. The degrees of freedom are Satterthwaite's, with
    those of the seeds for the share of the variance that is theirs.
    """
    values = [np.array([net.value for net in group]) for group in groups]
    estimate = float(sum(weight * own.mean() for weight, own in zip(weights, values, strict=True) if own.size))
    sizes = [own.size for own in values]
    if min(sizes) < LEAST:
        error = _over_examples(groups, weights) if min(sizes) else math.nan
        return Interval(estimate if min(sizes) else math.nan, error, *[math.nan] * 3)
    if paired:
        by_seed = sum(weight * own for weight, own in zip(weights, values, strict=True))
        shares = [(float(np.var(by_seed, ddof=1)) / sizes[0], sizes[0] - 1)]
    else:
        shares = [
            (weight**2 * float(own.var(ddof=1)) / own.size, own.size - 1)
            for weight, own in zip(weights, values, strict=True)
        ]
    if all(not _error(net) > 0 for group in groups for net in group):
        error = math.sqrt(sum(variance for variance, _ in shares))  # what the draws of seeds alone come to
    else:
        drawn = _examples_drawn(groups, values, rng, draws)
        index = _bootknife(sizes[0], draws, rng) if paired else None
        total = np.zeros(draws)
        for weight, own in zip(weights, drawn, strict=True):
            picked = index if index is not None else _bootknife(len(own), draws, rng)
            total += weight * np.take_along_axis(own, picked, axis=0).mean(axis=0)
        error = float(total.std(ddof=1))
    spent = sum(variance**2 / degrees for variance, degrees in shares)
    degrees = max(error**4 / spent, min(size - 1 for size in sizes)) if spent else math.inf
    reach = float(stdtrit(min(degrees, _MOST_DEGREES), (1 + LEVEL) / 2)) * error
    return Interval(estimate, error, estimate - reach, estimate + reach, degrees)


def verdict(interval: Interval, seeds: int, *, above: str = "higher", below: str = "lower") -> str:
    """Return what an interval over a number of seeds allows to say: `above` or `below` where it leaves out 0."""
    if seeds < LEAST:
        return f"too few seeds ({seeds})"
    if interval.low <= 0 <= interval.high:
        return "too small to tell"
    return above if interval.value > 0 else below


def _examples_drawn(
    groups: Sequence[Sequence[Replicate]], values: Sequence[np.ndarray], rng: np.random.Generator, draws: int
) -> list[np.ndarray]:
    """Return the numbers (S, draws) of each group's nets over examples drawn anew."""
    parts = [net.parts for group in groups for net in group if net.parts is not None]
    if len(parts) == sum(map(len, groups)) and len({part.size for part in parts}) == 1:
        n = parts[0].size
        counts = rng.multinomial(n, np.full(n, 1 / n), size=draws).T / n  # one sample of examples for every net
        return [np.stack([np.asarray(net.parts) for net in group]) @ counts for group in groups]
    found = []
    for group, own in zip(groups, values, strict=True):
        errors = np.nan_to_num([_error(net) for net in group])
        found.append(own[:, None] + errors[:, None] * rng.standard_normal(draws))
    return found


def _over_examples(groups: Sequence[Sequence[Replicate]], weights: Sequence[float] | np.ndarray) -> float:
    """Return the standard error of sum_g weights_g mean_g over examples, the nets as they are."""
    parts = [[net.parts for net in group if net.parts is not None] for group in groups]
    if [*map(len, parts)] == [*map(len, groups)] and len({part.size for own in parts for part in own}) == 1:
        each = sum(weight * np.mean(own, axis=0) for weight, own in zip(weights, parts, strict=True))
        return float(np.std(each, ddof=1) / math.sqrt(np.size(each)))
    # How the errors go together is not stored: as if they all erred the worst way.
    return float(sum(abs(w) * np.mean([_error(net) for net in own]) for w, own in zip(weights, groups, strict=True)))


def _error(net: Replicate) -> float:
    return net.error if net.parts is None else float(net.parts.std(ddof=1) / math.sqrt(net.parts.size))


def _bootknife(size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return `draws` resamples (size, draws) of seeds, each from all but one."""
    picked = rng.integers(size - 1, size=(size, draws))
    return picked + (picked >= rng.integers(size, size=draws))


def _effect(
    words: str,
    groups: Sequence[Group],
    weights: np.ndarray,
    by: str,
    numeric: bool,
    rng: np.random.Generator,
    draws: int,
) -> Effect:
    shared = set.intersection(*({net.seed for net in group.nets if net.seed is not None} for group in groups))
    paired = len(shared) >= LEAST
    nets = [[net for net in group.nets if net.seed in shared] if paired else list(group.nets) for group in groups]
    interval = contrast(nets, weights, paired=paired, rng=rng, draws=draws)
    fewest = min(map(len, nets))
    return Effect(words, fewest, paired, interval, _verdict(interval, fewest, by, groups, numeric))


def _verdict(interval: Interval, seeds: int, by: str, groups: Sequence[Group], numeric: bool) -> str:
    if numeric:
        named = "eps" if by == "train_eps" else by
        return verdict(interval, seeds, above=f"rises with {named}", below=f"falls with {named}")
    return verdict(interval, seeds, above=f"higher for {groups[-1].name}", below=f"lower for {groups[-1].name}")


def _name(name: float | str, by: str) -> str:
    return str(name) if isinstance(name, str) else format_eps(name) if by.endswith("eps") else f"{name:g}"


def _spearman(groups: Sequence[Group]) -> float:
    """Return Spearman's rank correlation of the group's number and the net's over all nets, ties at their mean rank."""
    places = np.array([float(group.name) for group in groups for _ in group.nets])
    values = np.array([net.value for group in groups for net in group.nets])
    if len(set(places)) < 2 or len(set(values)) < 2:
        return math.nan
    one, other = (rank - rank.mean() for rank in (_ranks(places), _ranks(values)))
    return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
