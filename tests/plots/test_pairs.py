"""Pairs of nets: what is a pair, a group and a repeat, what is said over pairs, and where it is drawn."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import t as student

from landscape.errors import UsageError
from landscape.plots.connect import ERROR
from landscape.plots.connectivity import draw_budgets, draw_pair_barriers, draw_pairs, draw_plane
from landscape.plots.contour import common_scale, panel_of
from landscape.plots.pairs import groups_of, is_plane_of, median, over_pairs, shared_nets, ways_at
from landscape.plots.style import eps_colours
from landscape.results import Result
from landscape.results.connectivity import CURVE, LINE, in_plane
from tests.results.made_connect import connect
from tests.results.made_surface import surface

COLOURS = eps_colours((0.0, 0.1))
POINTS = np.array([[0.0, 0.0], [1.0, 4.0], [5.0, 6.0], [8.0, 3.0], [10.0, 0.0]])


def pair(eps: float = 0.1, number: int = 0, **attrs: Any) -> Result:
    """The pair of that number of nets trained at eps, its curve's barriers 0.1 and 0.2 times one more than that."""
    seeds = (2 * number, 2 * number + 1)
    hump = [0.1 * (number + 1), 0.2 * (number + 1)][: 2 if eps else 1]
    training = [{"eps": eps, "seed": seed, "epochs": 20} for seed in seeds]
    ladder = (0.0, eps) if eps else (0.0,)
    return connect(**{"eps": ladder, "train_eps": eps, "seeds": seeds, "hump": hump, "training": training, **attrs})


def plane(marks: np.ndarray = POINTS[[0, 4, 2]]) -> Result:
    return surface(
        x=np.linspace(-2, 12, 8), y=np.linspace(-2, 8, 6), train_eps=0.1, landmarks=["a", "b", "c"],
        landmarks_joined=False, **{"landmarks/x": marks[:, 0], "landmarks/y": marks[:, 1]},
    )  # fmt: skip


def marks(ax: Axes, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def test_pairs_of_one_training_are_a_group_and_the_longest_curve_counts() -> None:
    results = [pair(0.1, 0, steps=240), pair(0.1, 1), pair(0.1, 0), pair(0.0, 0, attack="none"), pair(0.1, 2)]
    clean, robust = groups_of(results)
    assert (clean.eps, robust.eps) == (0.0, 0.1)
    assert [result.attrs["steps"] for result in robust.results] == [240, 120, 120]
    assert len(robust.budgets) == 4
    assert (clean.radii(), robust.radii(), robust.radii(0)) == ([0.0], [0.0, 0.1], [0.0])


def test_nets_of_another_training_are_another_group_that_is_told_apart() -> None:
    short = [{"eps": 0.1, "seed": seed, "epochs": 5, "epoch": 5} for seed in (0, 1)]
    groups = groups_of([pair(0.1, 0), pair(0.1, 0, training=short)])
    assert len(groups) == 2 and len({group.label for group in groups}) == 2
    assert any("epoch 5" in group.label for group in groups)


def test_a_pair_counts_once_and_nets_in_two_pairs_are_counted() -> None:
    with pytest.raises(UsageError, match=r"eps0.1-seed0 – eps0.1-seed1 came twice with one training of the curve"):
        groups_of([pair(0.1, 0), pair(0.1, 0)])
    (group,) = groups_of([pair(0.1, 0), pair(0.1, 1), pair(0.1, 2)])
    assert shared_nets(group) == 0
    (group,) = groups_of([pair(0.1, 0), pair(0.1, 1, seeds=(1, 2)), pair(0.1, 2, seeds=(2, 4))])
    assert shared_nets(group) == 2


def test_the_interval_over_pairs_is_students_and_of_one_pair_its_own() -> None:
    results = [pair(0.1, number) for number in range(4)]
    found = over_pairs(ways_at(results, CURVE, 0.1))
    values = np.array([0.2, 0.4, 0.6, 0.8])
    half = student.ppf(0.975, 3) * values.std(ddof=1) / 2
    np.testing.assert_allclose([found.value, found.low, found.high], [0.5, 0.5 - half, 0.5 + half])
    relative = over_pairs(ways_at(results, CURVE, 0.1), relative=True)
    np.testing.assert_allclose(relative.each, values / 0.4)  # the ends lose 0.3 and 0.5
    one = over_pairs(ways_at(results[:1], CURVE, 0.1), relative=True)
    np.testing.assert_allclose([one.low, one.value, one.high], np.array([0.16, 0.2, 0.26]) / 0.4)
    assert np.isnan(over_pairs(ways_at(results[:2], CURVE, 0.1)).low)
    lost = [*results, pair(0.1, 9, barrier=[np.nan, np.nan])]
    assert over_pairs(ways_at(lost, CURVE, 0.1)).value == pytest.approx(0.5)


def test_the_median_is_taken_where_all_pairs_were_evaluated() -> None:
    results = [pair(number=0), pair(number=1), pair(number=2, t=[0, 0.13, 0.5, 0.75, 1])]
    t, middle = median(ways_at(results, CURVE, 0.1), "loss")
    assert t.tolist() == [0, 0.5, 0.75, 1]
    np.testing.assert_allclose(middle, results[1].loss[1][[0, 10, 15, 20]])


def test_each_pair_is_thin_and_their_median_thick() -> None:
    (group,) = groups_of([pair(number=number) for number in range(3)])
    ax = Figure().subplots()
    draw_pairs(ax, group, colours=COLOURS)
    thin, thick = marks(ax, "loss"), marks(ax, "median")
    assert (len(thin), len(thick), len(marks(ax, "line_loss"))) == (6, 2, 6)
    assert max(line.get_linewidth() for line in thin) < min(line.get_linewidth() for line in thick)
    np.testing.assert_allclose(thick[1].get_ydata(), group.results[1].loss[1])
    assert mpl.colors.same_color(thick[1].get_color(), COLOURS[0.1])
    _, bracket = marks(ax, "bracket")
    np.testing.assert_allclose(np.ptp(bracket.get_ydata()), 0.4)  # the mean of 0.2, 0.4 and 0.6
    errors = Figure().subplots()
    draw_pairs(errors, group, ERROR, colours=COLOURS)
    np.testing.assert_allclose(marks(errors, "median")[0].get_ydata(), 100 * group.results[1].error_rate[0])


def test_barriers_are_means_of_three_pairs_or_more_and_else_the_pairs_themselves() -> None:
    groups = groups_of([pair(0.0, 0), *(pair(0.1, number) for number in range(3))])
    ax = Figure().subplots()
    draw_pair_barriers(ax, groups, colours=COLOURS)
    filled = sorted((round(float(line.get_xdata()[0])), float(line.get_ydata()[0])) for line in marks(ax, "mean"))
    np.testing.assert_allclose(filled, [(0, 0.1), (1, 0.2), (1, 0.4)])
    assert [len(line.get_xdata()) for line in marks(ax, "each")] == [3, 3]
    assert [line.get_markerfacecolor() for line in marks(ax, "line_mean")] == ["white"] * 3
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.1"]
    assert ax.get_ylim()[0] < 0


def test_more_training_is_a_mean_over_the_pairs_that_had_it() -> None:
    several = [pair(number=k, steps=30 * 2**k2, hump=[0.1, 0.8 / 2**k2 + k]) for k in (0, 1) for k2 in (0, 1, 2)]
    ax = Figure().subplots()
    draw_budgets(ax, groups_of([*several, pair(number=5, steps=120)]), colours=COLOURS)
    (mean,) = marks(ax, "budget_mean")
    np.testing.assert_allclose(mean.get_xydata(), [[30, 1.3], [60, 0.9], [120, 0.7]])
    assert len(marks(ax, "budget")) == 2
    assert [text.get_text() for text in ax.get_xticklabels()] == ["30", "60", "120"]


def test_a_curve_in_its_plane_is_the_bernstein_sum_of_its_points() -> None:
    way = in_plane(connect(plane_points=POINTS))
    assert way is not None
    s = np.linspace(0, 1, 101)[:, None]
    by_hand = (1 - s) ** 4 * POINTS[0] + 4 * s * (1 - s) ** 3 * POINTS[1] + 6 * s**2 * (1 - s) ** 2 * POINTS[2]
    by_hand = by_hand + 4 * s**3 * (1 - s) * POINTS[3] + s**4 * POINTS[4]
    np.testing.assert_allclose(way, by_hand, atol=1e-12)
    chain = in_plane(connect(plane_points=POINTS, curve="polychain"))
    assert chain is not None
    np.testing.assert_allclose(chain[[0, 25, 50, 100]], POINTS[[0, 1, 2, 4]])
    np.testing.assert_allclose(chain[10], 0.6 * POINTS[0] + 0.4 * POINTS[1])
    assert in_plane(connect()) is None


def test_the_plane_of_a_curve_is_known_by_its_marks_and_bears_the_curve() -> None:
    result = connect(plane_points=POINTS)
    assert is_plane_of(plane(), result)
    assert not is_plane_of(plane(POINTS[[0, 4, 1]]), result)
    assert not is_plane_of(surface(), result) and not is_plane_of(plane(), connect())
    ax = Figure().subplots()
    draw_plane(ax, plane(), result, scale=common_scale([panel_of(plane())]))
    (curve,), (line,), (control,) = (marks(ax, gid) for gid in ("curve", "line", "control"))
    np.testing.assert_allclose(curve.get_xydata()[[0, -1]], POINTS[[0, -1]])
    np.testing.assert_allclose(line.get_xydata(), POINTS[[0, -1]])
    np.testing.assert_allclose(control.get_xydata(), POINTS[1:-1])
    assert [text.get_text() for text in ax.texts] == ["A", "B"]
    assert ways_at([connect(curve="line")], CURVE, 0.1) == [] and len(ways_at([connect()], LINE, 0.1)) == 1
