"""Traces are drawn as they are: medians, bands, staircases and schedules, by their artists."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape.errors import ResultError, UsageError
from landscape.plots import FIGURES, plot
from landscape.plots.escape import Escape, draw_survival, escape, survival
from landscape.plots.gradients import figure_gradients, spans
from landscape.plots.traces import arms, band, draw_schedule, draw_trace
from landscape.results import Result
from tests.results.made_traces import traces


def runs() -> list[Result]:
    made = [traces(eps=eps, seed=seed) for eps in (0.0, 0.1) for seed in range(3)]
    return made + [traces(eps=0.1, seed=seed, schedule="linear", escapes_at=None) for seed in range(3)]


def test_the_survival_curve_is_kaplan_and_meiers():
    # Freireich's 6-MP arm, the textbook case: S after each remission time, with censored patients at the times + .
    seen = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    steps, shares = survival([Escape(t, seen=True) for t in seen] + [Escape(t, seen=False) for t in censored])
    assert steps.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    np.testing.assert_allclose(shares, [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4)


def test_a_run_that_never_escapes_is_watched_to_its_end():
    assert escape(traces(escapes_at=17)) == Escape(17, seen=True)
    assert escape(traces(escapes_at=None, steps=60)) == Escape(60, seen=False)
    ax = Figure().subplots()
    draw_survival(ax, [Escape(10, seen=True), Escape(60, seen=False)])
    stairs, ticks = ax.get_lines()
    assert stairs.get_xydata().tolist()[-1] == [60, 0.5]
    assert ticks.get_xydata().tolist() == [[60, 0.5]]


def test_a_band_is_the_quantiles_over_seeds_at_the_steps_that_all_have():
    shown = band([traces(seed=seed, steps=60 - seed) for seed in range(5)], "distance_from_init", span=(50, 60))
    assert shown is not None
    assert shown.steps.tolist() == list(range(50, 56))
    values = 0.1 * shown.steps + np.arange(5)[:, None]
    for found, share in ((shown.low, 0.1), (shown.median, 0.5), (shown.high, 0.9)):
        np.testing.assert_allclose(found, np.quantile(values, share, axis=0), rtol=1e-12)
    assert band([traces()], "lambda_1") is None


def test_smoothing_is_the_mean_of_the_neighbours_and_leaves_nan_aside():
    result = traces(escapes_at=30)
    smoothed = band([result], "gradient_norm_sq_unbiased", window=8)
    assert smoothed is not None
    # Rows are there at every fourth step: eight neighbours hold two of them, at the ends one.
    assert smoothed.median[10] == 0.5
    assert smoothed.median[-1] == 3.0
    expected = np.convolve(result.arrays["loss"], np.full(5, 0.2), "valid")
    found = band([result], "loss", window=5)
    assert found is not None
    np.testing.assert_allclose(found.median[2:-2], expected, rtol=1e-12)


def test_runs_are_one_curve_for_each_eps_and_schedule_coloured_by_eps():
    curves = arms(runs())
    assert [len(curve.results) for curve in curves] == [3, 3, 3]
    assert [curve.eps for curve in curves] == [0.0, 0.1, 0.1]
    ax = Figure().subplots()
    draw_trace(ax, curves, "loss")
    plain, constant, linear = ax.get_lines()
    assert mpl.colors.same_color(constant.get_color(), linear.get_color())
    assert not mpl.colors.same_color(plain.get_color(), constant.get_color())
    assert (constant.get_linestyle(), linear.get_linestyle()) == ("-", "--")
    np.testing.assert_array_equal(linear.get_ydata(), np.full(60, 2.3))
    strip = Figure().subplots()
    draw_schedule(strip, curves)
    np.testing.assert_allclose(strip.get_lines()[2].get_ydata()[[0, 15, 59]], [0, 0.05, 0.1])


def test_a_short_run_shows_all_of_itself_and_its_last_third():
    assert spans([traces(steps=60)]) == ((0, 60), (40, 60))
    assert spans([traces(steps=60)], shown=20) == ((0, 20), (40, 60))


def test_figure_2_has_the_papers_panels_and_counts_who_escaped():
    figure = figure_gradients(runs())
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert [title[0] for title in titles] == list("abcdef")
    error = figure.axes[1].get_lines()
    np.testing.assert_allclose(error[1].get_ydata(), [90, 60, 20])
    counts = figure.axes[-2].get_legend()
    assert counts is not None
    assert [text.get_text() for text in counts.get_texts()] == ["3 of 3", "3 of 3", "0 of 3"]
    figure.canvas.draw()  # a layout that does not fit warns, and warnings are errors


@pytest.mark.parametrize("width", [3.25, 6.75])
def test_any_traces_are_plotted(width: float):
    figure = plot([traces()], width=width)
    figure.canvas.draw()
    np.testing.assert_array_equal(figure.axes[0].get_lines()[0].get_ydata(), traces().arrays["loss"])
    plot(runs(), width=width).canvas.draw()


def with_extras(seed: int = 0) -> Result:
    made = traces(seed=seed)
    steps = len(made.arrays["step"])
    every = np.where(np.arange(steps) % 3 == 0, 1.0, np.nan)
    arrays = {
        **made.arrays,
        "gradient_cosine": 0.5 * every,
        "lambda_1": np.arange(steps) * every,
        "lambda_1_residual": 0.0 * every,
        "layer_gradient_norm": every[:, None] * np.array([1.0, 2.0]),
    }
    return Result(made.kind, arrays, {**made.attrs, "layers": ["conv1", "fc1"], "extras_every": 3})


def test_optional_columns_have_panels_where_they_were_measured() -> None:
    figure = plot([with_extras()])
    figure.canvas.draw()
    panels = {ax.get_ylabel(): ax.get_lines() for ax in figure.axes}
    (values,) = panels["$\\lambda_1$ (nats)"]
    np.testing.assert_array_equal(values.get_ydata(), with_extras().arrays["step"][::3])
    (cosine,) = panels["cosine of clean and\nadversarial gradient"]
    assert set(cosine.get_ydata()) == {0.5}
    layers = panels["gradient norm\nby layer"]
    assert [(line.get_label(), set(line.get_ydata())) for line in layers] == [("conv1", {1.0}), ("fc1", {2.0})]
    several = [ax.get_ylabel() for ax in plot([with_extras(0), with_extras(1)]).axes]
    assert "gradient norm\nby layer" not in several and "$\\lambda_1$ (nats)" in several


def of_checkpoints() -> Result:
    made = traces(steps=6, escapes_at=3)
    arrays = {name: array for name, array in made.arrays.items() if "/" not in name}
    arrays |= {"step": np.repeat([0, 94, 188], 2), "eps": np.tile([0.0, 0.1], 3), "loss_se": np.full(6, 0.02)}
    return Result("traces", arrays, {**made.attrs, "measured": "checkpoints"})


def test_traces_of_checkpoints_have_a_line_for_each_radius_with_its_error():
    figure = plot(of_checkpoints())
    figure.canvas.draw()
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 3]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 94, 188]] * 2
    assert len(figure.axes[0].collections) == 2  # the bars
    assert "measured at ε = 0.1" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ResultError, match="nothing to draw"):
        FIGURES["traces"]([])
    with pytest.raises(UsageError, match="name one sort's files"):
        plot([traces(), of_checkpoints()])
    with pytest.raises(UsageError, match="a trace of checkpoints came"):
        figure_gradients([of_checkpoints()])
