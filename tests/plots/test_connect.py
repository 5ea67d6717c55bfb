"""Ways between nets drawn: every artist is where the file says, and what is lost, partial or unlike is said."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape.errors import ResultError, UsageError
from landscape.plots import FIGURES, draw_barriers, draw_connect, plot
from landscape.plots.connect import ERROR, scale_about_zero
from landscape.plots.connect_figure import curve_words, figure_connect
from tests.results.made_connect import NOT_FINITE, connect


def marks(ax: Axes, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def drawn(result: Any, *arguments: Any, **options: Any) -> Axes:
    ax = Figure().subplots()
    draw_connect(ax, result, *arguments, **options)
    return ax


def words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_curve_is_solid_and_the_line_dashed_in_the_colour_of_their_eps() -> None:
    made = connect()
    ax = drawn(made)
    for rung, (curve, line) in enumerate(zip(marks(ax, "loss"), marks(ax, "line_loss"), strict=True)):
        np.testing.assert_array_equal(curve.get_xydata(), np.c_[made.t, made.loss[rung]])
        np.testing.assert_array_equal(line.get_ydata(), made.line_loss[rung])
        assert (curve.get_linestyle(), line.get_linestyle()) == ("-", "--")
        assert mpl.colors.same_color(curve.get_color(), line.get_color())
    assert not mpl.colors.same_color(*(line.get_color() for line in marks(ax, "loss")))
    only = drawn(made, eps=[0.1])
    np.testing.assert_array_equal(marks(only, "loss")[0].get_ydata(), made.loss[1])
    assert len(marks(only, "loss")) == 1


def test_errors_are_in_percent_and_bands_are_one_standard_error() -> None:
    made = connect(eps=(0.1,))
    ax = drawn(made, ERROR)
    np.testing.assert_allclose(marks(ax, ERROR)[0].get_ydata(), 100 * made.error_rate[0])
    (band,) = [item for item in ax.collections if item.get_gid() == "error_rate_band"]
    outline = band.get_paths()[0].vertices
    share = made.error_rate[0, 10]
    error = 100 * np.sqrt(share * (1 - share) / 2000)
    at_middle = np.sort(outline[np.isclose(outline[:, 0], 0.5), 1])
    np.testing.assert_allclose(at_middle[[0, -1]], [100 * share - error, 100 * share + error], rtol=1e-9)
    assert not marks(ax, "bracket")


def test_a_bracket_spans_the_barrier_from_the_chord_and_bears_its_interval() -> None:
    ax = drawn(connect(eps=(0.0, 0.1), hump=(0.5, -0.05)))
    (up, down), (interval, _) = marks(ax, "bracket"), marks(ax, "interval")
    chord = (0.1 + 0.3) / 2
    np.testing.assert_allclose([up.get_ydata().min(), up.get_ydata().max()], [chord, chord + 0.5])
    np.testing.assert_allclose(interval.get_ydata(), [chord + 0.4, chord + 0.65])
    # A curve below its chord has a negative barrier: the bracket hangs, where the rise is least negative.
    assert down.get_ydata()[0] > down.get_ydata()[-1]
    np.testing.assert_allclose(np.ptp(down.get_ydata()), 0.05)
    assert abs(float(np.mean(up.get_xdata())) - 0.5) < 0.03
    for line, ends in zip(marks(ax, "chord"), ((0.1, 0.3), (0.3, 0.5)), strict=True):
        np.testing.assert_allclose(line.get_ydata()[[0, 50, -1]], [ends[0], np.mean(ends), ends[1]])


def test_the_nets_as_deployed_are_rings_at_their_own_loss() -> None:
    made = connect()
    for name, scale, array in (("loss", 1, made.deployed_loss), (ERROR, 100, made.deployed_error_rate)):
        for rung, line in enumerate(marks(drawn(made, name), "deployed")):
            assert line.get_xdata().tolist() == [0, 1]
            np.testing.assert_allclose(line.get_ydata(), scale * array[rung])
            assert line.get_markerfacecolor() == "white"


def test_lost_values_leave_a_gap_that_is_hatched_and_said() -> None:
    made = connect(t=[0, 0.25, 0.5, 1], lost={(1, 1): NOT_FINITE}, status="partial")
    ax = drawn(made)
    assert np.isnan(marks(ax, "loss")[1].get_ydata()[1]) and np.isfinite(marks(ax, "loss")[0].get_ydata()).all()
    (patch,) = [item for item in ax.patches if item.get_gid() == "hatched"]
    assert (patch.get_x(), patch.get_width()) == (0.125, 0.25)
    figure = plot(made)
    figure.canvas.draw()
    assert "! 1 of 8 values not finite" in words(figure)
    assert "! unfinished" in words(figure)
    (legend,) = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    assert legend is not None and "not finite" in [text.get_text() for text in legend.get_texts()]


def test_an_end_that_is_lost_has_no_chord_and_no_bracket() -> None:
    made = connect(eps=(0.0,), lost={(0, 0): NOT_FINITE}, barrier=[np.nan], barrier_low=[np.nan], barrier_high=[np.nan])
    ax = drawn(made)
    assert not marks(ax, "bracket") and not marks(ax, "interval")
    plot(made).canvas.draw()


def test_barriers_stand_by_eps_filled_for_the_curve_and_open_for_the_line() -> None:
    made = connect(eps=(0.0, 0.1, 0.2), hump=(0.01, 0.02, 0.4))
    ax = Figure().subplots()
    draw_barriers(ax, made)
    curve, line = marks(ax, "barrier"), marks(ax, "line_barrier")
    assert [round(float(point.get_xdata()[0])) for point in curve] == [0, 1, 2]
    assert [float(point.get_ydata()[0]) for point in curve] == made.barrier.tolist()
    assert [float(point.get_ydata()[0]) for point in line] == made.line_barrier.tolist()
    assert {point.get_markerfacecolor() for point in line} == {"white"}
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.1", "0.2"]
    assert ax.get_yscale() == "symlog"
    low, high = ax.get_ylim()
    assert low < 0 and high > made.line_barrier_high.max()


def test_the_scale_of_barriers_keeps_zero_and_all_that_is_negative() -> None:
    for values in ([0.1, 0.3], [-0.2, 0.3], [0.001, 2.0], [-0.004, 0.001, 5.0], [0.0], [np.nan]):
        ax = Figure().subplots()
        scale_about_zero([ax], np.array(values))
        low, high = ax.get_ylim()
        assert low <= 0 <= high
        known = np.array(values)[np.isfinite(values)]
        assert not known.size or (low <= known.min() and known.max() <= high)


def test_the_figure_of_one_result_has_a_column_for_each_split() -> None:
    made = connect(other="test", other_examples=360)
    figure = plot(made, width=3.25)
    figure.canvas.draw()
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["train split", "test split"]
    losses = [ax for ax in figure.axes if marks(ax, "loss")]
    np.testing.assert_array_equal(marks(losses[1], "loss")[1].get_ydata(), made.arrays["test/loss"][1])
    assert losses[0].get_ylim() == losses[1].get_ylim() and losses[0].get_yscale() == "log"
    assert "trained for 10 epochs (120 steps). Length 12.5 against 10 of the line" in words(figure)
    assert "lenet:width=4 (P = 1,000)" in words(figure)


def test_curvature_along_the_curve_is_drawn_where_it_was_measured() -> None:
    at = np.where(np.arange(21) % 5 == 0, np.arange(21.0), np.nan)
    figure = plot(connect(other="test", lambda_1=at, lambda_1_residual=np.full(21, 0.1), curvature_eps=0.1))
    figure.canvas.draw()
    (line,) = [line for ax in figure.axes for line in marks(ax, "lambda_1")]
    assert line.get_ydata().tolist() == [0, 5, 10, 15, 20]
    attacked = next(line for ax in figure.axes for line in marks(ax, "loss")[1:])
    assert mpl.colors.same_color(line.get_color(), attacked.get_color())


@pytest.mark.parametrize("width", [3.25, 6.75])
def test_several_results_are_columns_on_one_scale_that_say_how_they_differ(width: float) -> None:
    results = [connect(train_eps=eps, eps=(0, eps) if eps else (0,)) for eps in (0.0, 0.1, 0.2)]
    results.append(connect(train_eps=0.3, eps=(0, 0.3), attack="pgd:steps=20,rel_step=0.1,restarts=1"))
    figure = plot(results, width=width)
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes if ax.get_title()][1] == "trained at ε = 0.1"
    assert "! results differ in attack (pgd:steps=10" in words(figure)
    barriers = [ax for ax in figure.axes if marks(ax, "barrier")]
    assert len(barriers) == 4 and len({ax.get_ylim() for ax in barriers}) == 1


def test_a_line_alone_has_its_own_bracket_and_no_curve() -> None:
    made = connect(curve="line", interior_points=0, epochs=0, steps=0)
    figure = plot(made)
    losses = [ax for ax in figure.axes if marks(ax, "line_loss")]
    assert not marks(losses[0], "loss")
    np.testing.assert_allclose(np.ptp(marks(losses[0], "bracket")[0].get_ydata()), 2.0)
    assert curve_words(made) == "straight line" and "upper bound" not in words(figure)


def test_control_points_that_were_not_trained_are_said() -> None:
    assert "! control points not trained: the curve is the line" in words(plot(connect(epochs=0, steps=0)))


def test_a_curve_that_is_worse_than_the_line_is_said() -> None:
    assert "! the curve's barrier is above the line's: its training has failed" in words(plot(connect(hump=(0.1, 9.0))))
    assert "failed" not in words(plot(connect()))


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ResultError, match="nothing to draw"):
        FIGURES["connect"]([])
    with pytest.raises(UsageError, match="there is no test split"):
        drawn(connect(), split="test")
    assert figure_connect([connect()]).get_figwidth() == 3.25
