from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from landscape.errors import ResultError
from landscape.plots import SINGLE, figure_one_dimensional, figure_theory, plot
from landscape.plots.theory import (
    ADVERSARIAL,
    VANILLA,
    draw_errors,
    draw_one_dimensional,
    draw_optimum,
    draw_phases,
    edges,
)
from landscape.results import Result
from tests.results.made import hessian


@cache
def _attributes() -> dict[str, Any]:
    return {name: value for name, value in hessian().attrs.items() if name not in ("eps", "loss", "error_rate")}


def theory(**attrs: Any) -> Result:
    """Return a theory result whose loss falls between its thresholds 0.1 and 0.3 as a line; numbers made up."""
    eps = np.linspace(0, 0.4, 9)
    told = {"class_pair": "3,8", "class_counts": {"3": 50, "8": 50}, "box": False, "gamma_star": 0.1, "eps_bar": 0.28}
    told |= {"gamma_star_bound": 0.1, "gamma_star_box": 0.12, "gamma_star_box_bound": 0.12, "eps_bar_bias": 0.3}
    told |= {
        "eps_bar_box": 0.34,
        "constant_loss": math.log(2),
        "tol": 1e-7,
        "data": "digits",
        "adversary": "reattacked",
    }
    told |= {"status": "complete", "n_examples": 100, **attrs}
    low = 0.12 if told["box"] else 0.1
    regime = np.digitize(eps, [low, 0.34 if told["box"] else 0.3]).astype(np.uint8)
    loss = np.interp(eps, [low, 0.3], [0, math.log(2)])
    arrays = {"eps": eps, "regime": regime, "loss": loss, "error_rate": loss / 2, "clean_error_rate": loss / 3}
    norm = np.where(regime == 0, np.inf, 1.0 * (regime == 1))
    nan = np.full_like(eps, math.nan)
    return Result(
        "theory", {**arrays, "weight_norm": norm, "margin": nan, "kkt_residual": nan}, {**_attributes(), **told}
    )


def axes() -> Axes:
    return Figure().add_subplot()


def lines(ax: Axes, gid: str) -> list[Any]:
    return [line for line in ax.lines if line.get_gid() == gid]


def words(figure: Any) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.mark.parametrize("eps", [0.6, 1.2])
def test_fig_1_is_the_closed_form_in_the_posters_colours(eps: float) -> None:
    ax = axes()
    draw_one_dimensional(ax, eps)
    (adversarial,), (vanilla,) = lines(ax, "adversarial"), lines(ax, "vanilla")
    theta = adversarial.get_xdata()
    assert 0.0 in theta
    np.testing.assert_allclose(adversarial.get_ydata(), np.log1p(np.exp(theta + eps * np.abs(theta))), rtol=1e-12)
    np.testing.assert_allclose(vanilla.get_ydata(), np.log1p(np.exp(theta)), rtol=1e-12)
    assert (to_hex(adversarial.get_color()), to_hex(vanilla.get_color())) == (ADVERSARIAL, VANILLA)
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert [corners[:, 1].min(), corners[:, 1].max()] == pytest.approx(
        [math.log1p(math.exp(-3 - 3 * eps)), math.log1p(math.exp(3 + 3 * eps))]
    )
    assert len(lines(ax, "minimum")) == (eps > 1)
    assert ax.get_title() == f"ε = {eps}"


def test_both_panels_of_fig_1_share_a_scale_that_holds_the_steeper() -> None:
    figure = figure_one_dimensional(width=SINGLE)
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[1] > 6.601
    assert "One-sided slopes at 0: 0.2 and 0.8; −0.1 and 1.1" in words(figure)


def test_the_phase_diagram_stands_below_fig_1() -> None:
    figure = figure_one_dimensional([theory(), theory(box=True)])
    assert len(figure.axes) == 3
    assert "Below: linear model with biases" in words(figure)
    assert "attacked images not clipped unless said" in words(figure)


def test_the_optimum_is_0_up_to_gamma_star_and_then_the_files_numbers() -> None:
    result, ax = theory(), axes()
    draw_optimum(ax, [result])
    (limit,), (curve,) = lines(ax, "limit"), lines(ax, "loss")
    assert list(limit.get_xdata()) == [0, 0.1]
    assert list(limit.get_ydata()) == [0, 0]
    finite = result.regime > 0
    np.testing.assert_array_equal(curve.get_xdata(), result.eps[finite])
    np.testing.assert_array_equal(curve.get_ydata(), result.loss[finite])


def test_errors_are_in_per_cent() -> None:
    result, ax = theory(), axes()
    draw_errors(ax, result)
    for name in ("error_rate", "clean_error_rate"):
        (line,) = lines(ax, name)
        np.testing.assert_array_equal(line.get_ydata(), 100 * result.arrays[name])


def test_bars_are_cut_at_the_thresholds_of_their_own_adversary() -> None:
    results, ax = [theory(box=True), theory()], axes()
    draw_phases(ax, results)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["digits 3|8", "digits 3|8, clipped"]
    bars = [bar for part in ax.containers if isinstance(part, BarContainer) for bar in part]
    cuts = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert np.array(cuts[:3]) == pytest.approx(np.array([(0, 0.1), (0.1, 0.3), (0.3, 0.4)]))
    assert np.array(cuts[3:]) == pytest.approx(np.array([(0, 0.12), (0.12, 0.34), (0.34, 0.4)]))
    assert [text.get_text() for text in ax.texts].count("separable") == 2
    assert edges(results[0]) == (0.12, 0.34)


def test_what_tells_results_apart_is_said_and_no_more() -> None:
    ax = axes()
    results = [theory(), theory(n_examples=60), theory(class_pair="1,7"), theory(data="my/own.npz")]
    draw_phases(ax, results)
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "digits 1|7",
        "digits 3|8, N = 60",
        "digits 3|8, N = 100",
        "own 3|8",
    ]


def test_one_result_shows_its_errors_and_several_their_names_in_colour() -> None:
    one = plot(theory())
    assert len(one.axes) == 3
    assert "N = 100" in words(one)
    several = figure_theory([theory(), theory(class_pair="1,7")])
    assert len(several.axes) == 2
    curves = lines(several.axes[0], "loss")
    names = several.axes[1].get_yticklabels()
    assert [to_hex(text.get_color()) for text in names] == [to_hex(curve.get_color()) for curve in curves]


def test_a_result_that_fell_short_is_stamped() -> None:
    figure = figure_theory([theory(status="not-converged")])
    assert "! digits 3|8: not converged" in words(figure)


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ResultError, match="nothing to draw; give one or more theory results"):
        figure_theory([])
