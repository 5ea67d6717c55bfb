"""Fig. 4's marks: every run once, at its rate and its error; crosses are failures, lines medians of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.plots.learning_rate import Panel, draw_failures, draw_rates, figure_learning_rate, places
from landscape.plots.style import SINGLE, new_figure
from landscape.results.rates import Arm, read_arms
from landscape.statistics import wilson
from tests.results.made_evaluate import sweep
from tests.results.test_rates import ERRORS, RATES, saved


@pytest.fixture
def arms(tmp_path: Path) -> list[Arm]:
    paths = saved(sweep(ERRORS), tmp_path)
    return read_arms([*paths, *saved(sweep({("linear", 0.01): (50, 52)}, recipe={"lr_warmup": 3.0}), tmp_path, "warm")])


@pytest.fixture
def axes() -> Axes:
    return new_figure().subplots()


def lines(ax: Axes, label: str) -> list[Line2D]:
    return [line for line in ax.get_lines() if line.get_label() == label]


def points(found: list[Line2D]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for line in found for x, y in line.get_xydata()]  # type: ignore[union-attr]


def test_every_run_is_one_point_and_a_cross_where_it_failed(axes: Axes, arms: list[Arm]) -> None:
    draw_rates(axes, arms, best={})
    runs, failed = points(lines(axes, "_runs")), points(lines(axes, "_failed"))
    wanted = [100 * run.value for arm in arms for run in arm.runs if not run.collapsed]
    assert sorted(y for _, y in runs) == pytest.approx(sorted(wanted))
    assert [y for _, y in failed] == pytest.approx([90, 90])
    shift = places(arms)
    assert {x for x, _ in failed} == {0.001 * shift["constant"]}
    assert all(line.get_marker() == "x" for line in lines(axes, "_failed"))
    assert len(set(shift.values())) == 4 and max(shift.values()) < 10**0.2  # apart, and nearer to their own rate


def test_lines_join_the_survivors_medians_and_rings_mark_the_best(axes: Axes, arms: list[Arm]) -> None:
    draw_rates(axes, arms, best={"constant": 0.01, "linear": 0.001})
    constant, linear, control, cosine = lines(axes, "_median")
    np.testing.assert_allclose(constant.get_ydata(), [60, 50])
    np.testing.assert_allclose(linear.get_ydata(), [45, 31])
    np.testing.assert_allclose(control.get_ydata(), [25.5])
    assert control.get_linestyle() == ":" and control.get_color() == linear.get_color() != cosine.get_color()
    at = places(arms)
    rings = [(0.01 * at["constant"], 50), (0.001 * at["linear"], 45)]
    np.testing.assert_allclose(points(lines(axes, "_best")), rings)


def test_moments_are_drawn_only_where_they_are_asked_for(axes: Axes, arms: list[Arm]) -> None:
    draw_rates(axes, arms, best={})
    assert not axes.containers
    draw_rates(axes, arms, best={}, moments=True)
    assert len(axes.containers) == len(arms)
    np.testing.assert_allclose(axes.containers[0][0].get_ydata(), [80, 50])


def test_failures_have_wilsons_interval(axes: Axes, arms: list[Arm]) -> None:
    draw_failures(axes, arms)
    constant = axes.containers[0]
    np.testing.assert_allclose(constant[0].get_ydata(), [200 / 3, 0])
    (segments,) = (bars.get_segments() for bars in constant[2])
    np.testing.assert_allclose(segments[0][:, 1], 100 * np.array(wilson(2, 3)))
    np.testing.assert_allclose(segments[1][:, 1], 100 * np.array(wilson(0, 3)), atol=1e-9)
    assert axes.get_legend_handles_labels()[1] == [arm.label for arm in arms]


@pytest.mark.parametrize("panels", [1, 2])
def test_the_figure_has_its_panels_and_the_failures_last(panels: int, arms: list[Arm]) -> None:
    shown = [Panel("clean", arms), Panel("robust", arms)][-panels:]
    width = SINGLE if panels == 1 else 2 * SINGLE
    figure = figure_learning_rate(shown, best={}, note="N = 200", stamps=["2 unknown"], width=width)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [["a  robust", "b  failures"], ["a  clean", "b  robust", "c  failures"]][panels - 1]
    assert figure.axes[-1].get_xlabel() == "learning rate" and figure.axes[0].get_ylabel() == "test error (%)"
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == [f"{rate:g}" for rate in RATES]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [arm.label for arm in arms]
