"""Groups compared: means and pairs exactly, intervals by how often they hold where the truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from landscape.results.comparison import Comparison, compare, contrast
from landscape.results.replicates import Replicate, Replicates


def net(
    group: float | str, seed: int | None, value: float | np.ndarray, *, error: float = 0.0, **more: Any
) -> Replicate:
    parts = np.asarray(value, float) if np.ndim(value) else None
    told: dict[str, Any] = {"name": f"{group}-{seed}", "sha256": None, "training": {}, "collapsed": False, **more}
    return Replicate(group=group, seed=seed, value=float(np.mean(value)), parts=parts, error=error, **told)


def compared(nets: list[Replicate], by: str = "train_eps", **options: Any) -> Comparison:
    return compare(Replicates(tuple(nets), "rise", "nats", ()), by=by, **options)


def crossed(
    rng: np.random.Generator, seeds: int, *, between: float, example: float, interaction: float, groups: int = 1
) -> list[list[Replicate]]:
    """Return groups of nets with true mean 0: y_si = a_s + b_i + c_si, normal, the examples i common to all."""
    common = example * rng.standard_normal(40)
    return [
        [
            net(float(group), seed, between * rng.standard_normal() + (1 + group) * common + interaction * noise)
            for seed, noise in enumerate(rng.standard_normal((seeds, 40)))
        ]
        for group in range(groups)
    ]


def coverage(intervals: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= 0 <= high for low, high in intervals]))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("between", "example", "interaction"), [(1.0, 0.0, 0.0), (1.0, 6.0, 1.0)])
def test_the_interval_of_a_mean_holds_as_often_as_it_says(
    seeds: int, between: float, example: float, interaction: float
) -> None:
    """95 % over 300 problems has a standard error of 1.3 %: 0.90 to 0.99 is within four of them."""
    rng = np.random.default_rng(seeds)
    found = []
    for _ in range(300):
        (group,) = crossed(rng, seeds, between=between, example=example, interaction=interaction)
        interval = contrast([group], [1.0], paired=False, rng=rng, draws=200)
        found.append((interval.low, interval.high))
    assert 0.90 <= coverage(found) <= 0.99


@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_of_a_difference_holds_as_often_as_it_says(paired: bool) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        groups = crossed(rng, 5, between=1.0, example=3.0, interaction=1.0, groups=2)
        if paired:  # what a seed does to the net of one group, it does to that of the other
            shift = 5 * rng.standard_normal(5)
            groups = [[net(n.group, n.seed, n.parts + shift[n.seed]) for n in group] for group in groups]  # type: ignore
        interval = contrast(groups, [-1.0, 1.0], paired=paired, rng=rng, draws=200)
        found.append((interval.low, interval.high))
        assert interval.high - interval.low < 15  # pairing takes out a shift that alone would give about 18
    assert 0.90 <= coverage(found) <= 0.99


def test_without_examples_it_is_students_interval_exactly() -> None:
    """Paired as by SciPy's ttest_rel, apart as by Welch's: no draw is left in it."""
    one, other = [0.30, 0.33, 0.29, 0.35], [0.28, 0.30, 0.28, 0.31]
    groups = [[Replicate.of_number(value, seed=k) for k, value in enumerate(own)] for own in (one, other)]
    for paired, wanted in ((True, stats.ttest_rel(other, one)), (False, stats.ttest_ind(other, one, equal_var=False))):
        found = contrast(groups, [-1.0, 1.0], paired=paired, rng=np.random.default_rng(0))
        assert (found.value, found.p) == pytest.approx((-0.025, wanted.pvalue))
        assert (found.low, found.high) == pytest.approx(wanted.confidence_interval())


def test_it_errs_on_the_wide_side_where_seeds_do_not_matter() -> None:
    """Noise of single examples in single nets is in the seeds' scatter and in the examples': counted more than once."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        (group,) = crossed(rng, 5, between=0.0, example=0.0, interaction=1.0)
        interval = contrast([group], [1.0], paired=False, rng=rng, draws=200)
        found.append((interval.low, interval.high))
    assert coverage(found) > 0.97


def test_a_percentile_bootstrap_of_five_seeds_would_not_hold() -> None:
    """The reason for Student's quantile: of 2,000 intervals about 84 % hold, with a standard error of 0.8 %."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2000, 5))
    drawn = np.take_along_axis(values[:, None], rng.integers(5, size=(2000, 400, 5)), axis=2).mean(axis=2)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=1)
    assert coverage(list(zip(low, high, strict=True))) < 0.88


def test_without_examples_it_is_students_interval() -> None:
    """The bootknife's variance of a mean is s^2/S; 40,000 draws know it to 0.4 %."""
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    nets = [net(0.1, k, v) for k, v in enumerate(values)]
    one = contrast([nets], [1.0], paired=False, rng=np.random.default_rng(0), draws=40_000)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (one.value, one.low, one.high) == pytest.approx((values.mean(), low, high), rel=0.02)
    assert one.degrees == pytest.approx(4, rel=0.05)


def test_a_difference_is_welchs_or_that_of_pairs() -> None:
    a, b = np.array([3.0, 1.0, 4.0, 1.5, 9.0]), np.array([4.0, 2.5, 4.5, 3.0, 11.0])
    first = [net(0.0, k, v) for k, v in enumerate(a)]
    effect = compared([*first, *(net(0.1, k, v) for k, v in enumerate(b))], draws=40_000).effects[0]
    paired = stats.ttest_rel(b, a).confidence_interval()
    assert effect.paired and effect.seeds == 5
    assert effect.interval.value == pytest.approx((b - a).mean(), rel=1e-12)
    assert (effect.interval.low, effect.interval.high) == pytest.approx((paired.low, paired.high), rel=0.03)
    other = compared([*first, *(net(0.1, k + 9, v) for k, v in enumerate(b))], draws=40_000).effects[0]
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert not other.paired
    assert other.interval.value == pytest.approx(b.mean() - a.mean())
    assert (other.interval.low, other.interval.high) == pytest.approx((welch.low, welch.high), rel=0.03)


def test_pairs_are_made_of_the_seeds_that_both_groups_have() -> None:
    nets = [net(0.0, k, 10.0 * k) for k in range(5)] + [net(0.1, k, 10.0 * k + 1 + 0.1 * k) for k in range(1, 5)]
    effect = compared(nets).effects[0]
    assert (effect.paired, effect.seeds) == (True, 4)
    assert effect.interval.value == pytest.approx(np.mean([1 + 0.1 * k for k in range(1, 5)]))
    assert effect.verdict == "rises with eps"
    strangers = compared([net(g, None, g + 0.1 * k) for g in (0.0, 5.0) for k in range(3)]).effects[0]
    assert not strangers.paired


def test_the_trend_is_the_fitted_lines_rise_over_the_range() -> None:
    rng = np.random.default_rng(1)
    eps = (0.0, 0.1, 0.3)
    values = {e: 2 + 7 * e + 0.01 * rng.standard_normal(4) for e in eps}
    comparison = compared([net(e, k, v) for e in eps for k, v in enumerate(values[e])])
    trend = comparison.effects[0]
    slope = np.polyfit(eps, [values[e].mean() for e in eps], 1)[0]
    assert trend.words == "trend, 0 to 0.3"
    assert trend.interval.value == pytest.approx(0.3 * slope)
    assert trend.interval.low < 2.1 < trend.interval.high
    assert trend.verdict == "rises with eps"
    assert [effect.words for effect in comparison.effects[1:]] == ["0.1 against 0", "0.3 against 0", "0.3 against 0.1"]
    every = [(e, v) for e in eps for v in values[e]]
    assert comparison.rank_correlation == pytest.approx(stats.spearmanr(*zip(*every, strict=True)).statistic)


@pytest.mark.parametrize(
    ("shift", "verdict"), [(5.0, "rises with eps"), (-5.0, "falls with eps"), (0.3, "too small to tell")]
)
def test_the_verdict_is_what_the_interval_allows(shift: float, verdict: str) -> None:
    scatter = np.array([-1.0, 0.5, 0.2, 1.0, -0.7])
    nets = [net(0.0, k, v) for k, v in enumerate(scatter)]
    nets += [net(0.1, k, shift + v) for k, v in enumerate(scatter[::-1])]
    assert compared(nets).effects[0].verdict == verdict


def test_two_seeds_give_no_verdict_and_no_interval() -> None:
    comparison = compared([net(g, k, 100 * g + k) for g in (0.0, 1.0) for k in range(2)])
    assert comparison.effects[0].verdict == "too few seeds (2)"
    assert comparison.effects[0].interval.value == pytest.approx(100)
    assert math.isnan(comparison.effects[0].interval.low)
    assert math.isnan(comparison.groups[0].mean.high)


def test_two_single_nets_have_the_paired_error_of_their_difference_over_the_examples_they_share() -> None:
    common = np.random.default_rng(0).standard_normal(50)
    own = 0.1 * np.random.default_rng(1).standard_normal((2, 50))
    nets = [net(float(k), 0, 5 * common + own[k] + k) for k in range(2)]
    interval = compared(nets).effects[0].interval
    paired = nets[1].parts - nets[0].parts
    assert interval.error == pytest.approx(stats.sem(paired))
    assert interval.error < 0.1 * stats.sem(nets[0].parts)  # what the nets share has gone
    assert math.isnan(interval.low)
    apart = compared([net(float(k), 0, float(k), error=0.3) for k in range(2)]).effects[0].interval
    assert apart.error == pytest.approx(0.6)  # how they go together is not stored: the worst


def test_groups_by_words_are_higher_or_lower() -> None:
    nets = [net(name, k, at + 0.1 * k) for name, at in (("constant", 5.0), ("cosine", 1.0)) for k in range(3)]
    comparison = compared(nets, by="eps_schedule")
    assert comparison.effects[0].verdict == "lower for cosine"
    assert math.isnan(comparison.rank_correlation)


def test_collapsed_nets_are_left_out_and_counted() -> None:
    nets = [net(e, k, 1 + e + 0.01 * k) for e in (0.0, 0.1) for k in range(4)]
    dead = [net(0.1, 7, 500.0, collapsed=True), net(0.3, 7, 0.0, collapsed=True)]
    with_dead, without = compared(nets + dead), compared(nets)
    assert [group.collapsed for group in with_dead.groups] == [0, 1, 1]
    assert [len(group.nets) for group in with_dead.groups] == [4, 4, 0]
    assert [effect.words for effect in with_dead.effects] == [effect.words for effect in without.effects]
    assert with_dead.effects[0].interval.value == without.effects[0].interval.value
    unknown = compared([*nets, net(0.1, 7, 500.0, collapsed=None)])
    assert len(unknown.groups[1].nets) == 5


def test_standard_errors_stand_for_examples_that_are_not_stored() -> None:
    """Within a group the same examples shift all nets alike: no number of seeds averages that out."""
    nets = [[net(0.0, k, 1.0 + 1e-6 * k, error=0.5) for k in range(50)]]
    interval = contrast(nets, [1.0], paired=False, rng=np.random.default_rng(0), draws=4000)
    assert interval.error == pytest.approx(0.5, rel=0.05)
    assert interval.high - interval.value == pytest.approx(stats.norm.ppf(0.975) * 0.5, rel=0.05)


def test_the_same_seed_gives_the_same_numbers() -> None:
    nets = [net(g, k, np.random.default_rng(k).random(9) + g) for g in (0.0, 0.1) for k in range(4)]
    assert compared(nets).effects == compared(nets).effects
    assert compared(nets, seed=1).effects[0].interval.error != compared(nets).effects[0].interval.error
