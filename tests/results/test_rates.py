"""Runs against their learning rate: cells counted by hand, the choice on held-out data, endpoints against SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from landscape.errors import ResultError, UsageError
from landscape.results import Result
from landscape.results.comparison import Comparison
from landscape.results.rates import Arm, best_rate, comparisons, read_arms
from landscape.statistics import wilson
from tests.results.made_evaluate import Errors, sweep

RATES = (0.001, 0.01)
ERRORS: Errors = {
    ("constant", 0.001): (None, 120, None),
    ("constant", 0.01): (100, 110, 90),
    ("linear", 0.001): (90, 94, 86),
    ("linear", 0.01): (60, 64, 62),
    ("cosine", 0.001): (88, 92, 90),
    ("cosine", 0.01): (61, 60, 65),
}


def saved(results: Sequence[Result], folder: Path, name: str = "test") -> list[Path]:
    return [result.save(folder / f"{name}-{k}.h5") for k, result in enumerate(results)]


def made(folder: Path, errors: Errors = ERRORS) -> list[Arm]:
    return read_arms(saved(sweep(errors), folder))


def found(arms: Sequence[Arm], best: dict[str, float] | None = None) -> dict[str, Comparison]:
    return dict(comparisons(arms, best or {}, draws=300))


def test_cells_count_failures_and_take_the_survivors_median(tmp_path: Path) -> None:
    arms = made(tmp_path)
    assert [arm.label for arm in arms] == ["constant", "linear", "cosine"]  # the paper's order
    assert all(arm.rates == RATES and not arm.control for arm in arms)
    cell = arms[0].at(0.001)
    assert (cell.failed, cell.failure_interval) == (2, wilson(2, 3))
    assert cell.median == 0.6  # of the one that did not fail
    assert cell.moments == pytest.approx((0.8, np.std([0.9, 0.6, 0.9], ddof=1)))
    assert [run.seed for run in cell.runs] == [0, 1, 2]
    assert [run.value for run in cell.runs] == [0.9, 0.6, 0.9]
    all_failed = made(tmp_path / "dead", {("constant", 0.1): (None, None)})[0].at(0.1)
    assert math.isnan(all_failed.median) and all_failed.failed == 2


def test_another_quantity_is_read_by_its_name(tmp_path: Path) -> None:
    paths = saved(sweep(ERRORS), tmp_path)
    assert {run.value for run in read_arms(paths, quantity="clean")[1].runs} == {0.05}
    with pytest.raises(UsageError, match="no attack 'pgd10' in these files; did you mean pgd20"):
        read_arms(paths, quantity="pgd10")


def test_the_rate_is_chosen_where_the_median_on_held_out_data_is_lowest(tmp_path: Path) -> None:
    arm = made(tmp_path)[0]
    errors = {str(run.sha256): run.value for run in arm.runs}
    assert best_rate(arm, errors) == 0.01
    lucky = {str(run.sha256): 0.49 for run in arm.at(0.001).runs}  # the held-out examples may say otherwise
    assert best_rate(arm, errors | lucky) == 0.001
    equal = dict(zip(lucky, (0.5, 0.5, 0.6), strict=True))  # in the median, and worse in the mean
    assert best_rate(arm, errors | equal) == 0.01
    results = sweep(ERRORS)
    results[2] = sweep({place: row for place, row in ERRORS.items() if place != ("constant", 0.001)})[2]
    short = read_arms(saved(results, tmp_path / "short"))[0]
    assert best_rate(short, errors | lucky) == 0.01  # two seeds that were lucky are not three
    with pytest.raises(ResultError, match="was not evaluated on the held-out examples"):
        best_rate(arm, lucky)


def test_endpoints_are_paired_over_seeds(tmp_path: Path) -> None:
    arms = made(tmp_path)
    best = {arm.label: 0.01 for arm in arms}
    effects = {
        (endpoint, effect.words): effect for endpoint, one in found(arms, best).items() for effect in one.effects
    }
    pair = "linear against constant"
    final = effects["best rate", pair]
    assert (final.seeds, final.paired, final.verdict) == (3, True, "lower for linear")
    assert final.interval.value == pytest.approx(np.mean([60 - 100, 64 - 110, 62 - 90]) / 200)
    assert final.interval.error > stats.sem(np.array([60 - 100, 64 - 110, 62 - 90]) / 200)  # and the examples' share
    assert effects["mean over rates", pair].interval.value == pytest.approx(
        np.mean([90 + 60, 94 + 64, 86 + 62]) / 400 - np.mean([180 + 100, 120 + 110, 180 + 90]) / 400
    )
    assert effects["sensitivity", pair].interval.value == pytest.approx(
        np.mean([90 - 60, 94 - 64, 86 - 62]) / 400 - np.mean([180 - 100, 120 - 110, 180 - 90]) / 400
    )
    assert effects["rate 0.001", pair].interval.value == pytest.approx(0.45 - 0.8)
    assert effects["best rate", "linear against cosine"].verdict == "too small to tell"


def test_failed_runs_count_with_their_error_and_among_survivors_not_at_all(tmp_path: Path) -> None:
    arms = made(tmp_path)
    best = {"constant": 0.001, "linear": 0.01, "cosine": 0.01}
    endpoints = found(arms, best)
    groups = {group.name: group for group in endpoints["best rate"].groups}
    assert (len(groups["constant"].nets), groups["constant"].collapsed) == (3, 0)
    groups = {group.name: group for group in endpoints["best rate, survivors"].groups}
    assert (len(groups["constant"].nets), groups["constant"].collapsed) == (1, 2)
    verdicts = {effect.words: effect.verdict for effect in endpoints["best rate, survivors"].effects}
    assert verdicts["linear against constant"] == "too few seeds (1)"


def test_without_held_out_data_no_rate_is_called_best(tmp_path: Path) -> None:
    assert set(found(made(tmp_path))) == {"mean over rates", "rate 0.001", "rate 0.01"}


def test_controls_are_arms_of_their_own_compared_at_equal_rates(tmp_path: Path) -> None:
    paths = saved(sweep(ERRORS), tmp_path)
    paths += saved(sweep({("constant", 0.01): (80, 82, 84)}, recipe={"lr_warmup": 3.0}), tmp_path, "warm")
    longer = {"epochs": 9, "epoch": 9, "eps_overshoot": 0.9}
    paths += saved(sweep({("linear", 0.01): (50, 52, 54)}, recipe=longer), tmp_path, "longer")
    arms = read_arms(paths)
    assert [arm.label for arm in arms] == [
        "constant", "constant, lr warm-up 3 epochs", "linear", "linear, 9 epochs, towards 0.9", "cosine",
    ]  # fmt: skip
    assert [arm.control for arm in arms] == [False, True, False, True, False]
    endpoints = found(arms, {"constant": 0.01, "linear": 0.01, "cosine": 0.01})
    assert [group.name for group in endpoints["best rate"].groups] == ["constant", "cosine", "linear"]
    words = [effect.words for effect in endpoints["rate 0.01"].effects]
    assert "constant, lr warm-up 3 epochs against constant" in words and len(words) == 10
    assert len(endpoints["rate 0.001"].groups) == 3


def test_a_seed_that_has_not_run_at_all_rates_counts_where_it_has(tmp_path: Path) -> None:
    results = sweep(ERRORS)
    short: Errors = {place: row for place, row in ERRORS.items() if place != ("linear", 0.001)}
    results[2] = sweep(short)[2]
    endpoints = found(read_arms(saved(results, tmp_path)))
    seeds = {group.name: len(group.nets) for group in endpoints["mean over rates"].groups}
    assert seeds == {"constant": 3, "cosine": 3, "linear": 2}
    assert {group.name: len(group.nets) for group in endpoints["rate 0.01"].groups}["linear"] == 3


def test_what_cannot_be_an_arm_is_one_sentence(tmp_path: Path) -> None:
    results = sweep({("constant", 0.01): (80, 82)})
    results[1].attrs["training"] = None
    with pytest.raises(ResultError, match="a net does not say its eps_schedule"):
        read_arms(saved(results, tmp_path))
    with pytest.raises(ResultError, match=r"are the same net, in one group \(linear, lr 0.01, recipe \w+\)"):
        read_arms(saved([*sweep(ERRORS), *sweep({("linear", 0.01): (1,)})], tmp_path / "twice"))
    twins = [*sweep(ERRORS), *(sweep({("linear", 0.01): (1,)}, recipe={"lr_warmup": w})[0] for w in (3.0, 3.0000001))]
    with pytest.raises(ResultError, match="two recipes are both called 'linear, lr warm-up 3 epochs'"):
        read_arms(saved(twins, tmp_path / "twins"))
    with pytest.raises(ResultError, match="data_sha256 differs"):
        read_arms(saved([sweep(ERRORS)[0], sweep(ERRORS, data="ef")[1]], tmp_path / "data"))
