from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape.errors import UsageError
from landscape.plots import DOUBLE, SINGLE, draw_spectrum, figure_spectrum, plot
from landscape.plots.style import eps_colours
from tests.results.made import hessian


def run(eps: float, *, seed: int = 0, **attrs: Any) -> Any:
    return hessian(eps=eps, train_eps=eps, training={"eps": eps, "seed": seed}, **attrs)


def drawn(*results: Any) -> Axes:
    ax = Figure().add_subplot()
    draw_spectrum(ax, results)
    return ax


def lines(ax: Axes, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def bars(ax: Axes, gid: str) -> list[Any]:
    return [
        item.get_segments() for item in ax.collections if isinstance(item, LineCollection) and item.get_gid() == gid
    ]


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_each_curve_is_the_files_numbers() -> None:
    results = [run(0.3, top=140.0), run(0.0, top=22.0), run(0.1, top=48.0)]
    ax = drawn(*results)
    ordered = sorted(results, key=lambda result: result.eps)
    curves = lines(ax, "eigenvalues")
    for line, result, colour in zip(curves, ordered, eps_colours([0, 0.1, 0.3]).values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), result.eigenvalues)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 21))
        assert line.get_color() == colour
    assert legend(ax) == ["ε = 0", "ε = 0.1", "ε = 0.3"]
    assert ax.get_yscale() == "log"
    assert list(ax.get_xticks()) == [1, 5, 10, 15, 20]


def test_both_errors_are_bars_of_their_own() -> None:
    result = run(0.1)
    ax = drawn(result)
    for gid, errors in (("eigenvalue_se", result.eigenvalue_se), ("residuals", result.residuals)):
        (segments,) = bars(ax, gid)
        for index, segment in enumerate(segments):
            low, high = result.eigenvalues[index] - errors[index], result.eigenvalues[index] + errors[index]
            np.testing.assert_allclose(segment, [[index + 1, low], [index + 1, high]], rtol=1e-12)


def test_errors_that_were_not_computed_draw_no_bar() -> None:
    se = np.full(20, np.nan)
    se[3] = 0.5
    ax = drawn(run(0.1, eigenvalue_se=se))
    (segments,) = bars(ax, "eigenvalue_se")
    assert [segment[0][0] for segment in segments] == [4]
    assert bars(drawn(run(0.1, eigenvalue_se=np.full(20, np.nan))), "eigenvalue_se") == []
    assert "Standard errors not computed" in words(figure_spectrum([run(0.1, eigenvalue_se=np.full(20, np.nan))]))


def test_negative_eigenvalues_are_drawn_by_size_and_marked() -> None:
    values = np.array([5.0, -4.0, 3.0, -2.0, 1.0])
    ax = drawn(run(0.1, k=5, eigenvalues=values, which="lm"))
    np.testing.assert_array_equal(lines(ax, "eigenvalues")[0].get_ydata(), [5, 4, 3, 2, 1])
    up, down = lines(ax, "filled")
    assert (up.get_marker(), list(up.get_xdata())) == ("o", [1, 3, 5])
    assert (down.get_marker(), list(down.get_xdata())) == ("v", [2, 4])
    assert legend(ax) == ["ε = 0.1", "λ < 0, drawn as |λ|"]
    assert ax.get_ylabel() == "|Hessian eigenvalue|"


def test_unconverged_pairs_are_hollow_and_said_to_be() -> None:
    status = np.ones(20, np.uint8)
    status[17:] = 0
    status[16] = 2  # at the precision of the product: no failure
    result = run(0.2, pair_status=status, status="not-converged")
    ax = drawn(result)
    (hollow,) = lines(ax, "hollow")
    assert list(hollow.get_xdata()) == [18, 19, 20]
    assert hollow.get_markerfacecolor() == "white"
    assert "not converged" in legend(ax)
    text = words(figure_spectrum([result, run(0.1)]))
    assert "! ε = 0.2: 3 of 20 pairs not converged" in text
    assert "ε = 0.1:" not in text
    assert "pairs at the precision of the product: 1" in text


def test_zeros_lie_on_the_axis_and_a_zero_hessian_can_be_drawn() -> None:
    for values in (np.r_[3.0, 2.0, np.zeros(3)], np.zeros(5)):
        result = run(0.4, k=5, eigenvalues=values, eigenvalue_se=np.zeros(5), residuals=np.zeros(5))
        figure = figure_spectrum([result])
        figure.canvas.draw()
        (zero,) = lines(figure.axes[0], "zero")
        assert list(zero.get_xdata()) == list(np.flatnonzero(values == 0) + 1)
        assert "λ = 0, on the axis" in legend(figure.axes[0])
        assert figure.axes[0].get_ylim()[0] >= 0
    assert (figure.axes[0].get_ylim(), figure.axes[0].get_yscale()) == ((0, 1), "linear")  # the curve is on the axis


def test_a_bar_that_passes_zero_does_not_stretch_the_axis() -> None:
    ax = drawn(run(0.1, eigenvalue_se=np.full(20, 10.0)))
    low, high = ax.get_ylim()
    assert low > 1
    assert high == pytest.approx(50 * 1.25)


@pytest.mark.parametrize(
    ("attrs", "stamp"),
    [
        ({"collapsed": True}, "! ε = 0.4: constant classifier"),
        ({"guard_passed": False}, "! ε = 0.4: guard failed: pairs may be missing"),
        ({"status": "partial"}, "! ε = 0.4: unfinished"),
        ({"guard_passed": None}, "no guard against skipped pairs was run"),
    ],
)
def test_a_figure_that_cannot_be_trusted_says_so_itself(attrs: dict[str, Any], stamp: str) -> None:
    assert stamp in words(figure_spectrum([run(0.1), run(0.4, **attrs)]))
    assert stamp not in words(figure_spectrum([run(0.1), run(0.4)]))


def test_the_footnote_is_inside_the_page_and_states_the_largest_residual() -> None:
    for width in (SINGLE, DOUBLE):
        figure = figure_spectrum([run(0.1), run(0.2, residuals=np.full(20, 0.04))], width=width)
        assert "N = 2,000; ℓ∞ ε = 0.1, 0.2; PGD-10 (step 0.25 ε); adversary frozen" in words(figure)
        assert "solver's residual, at most 0.01 |λ|" in words(figure)
        figure.canvas.draw()
        page = figure.get_window_extent()
        for text in figure.texts:
            box = text.get_window_extent()
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
            assert page.y0 <= box.y0
            assert box.y1 <= page.y1


def test_seeds_share_colour_and_label_with_a_line_through_their_medians() -> None:
    tops = [10.0, 30.0, 20.0, 80.0, 40.0]
    ax = drawn(*(run(0.1, seed=seed, top=top) for seed, top in enumerate(tops)))
    assert legend(ax) == ["ε = 0.1 (5 seeds)"]
    assert sorted(line.get_ydata()[0] for line in lines(ax, "eigenvalues")) == sorted(tops)
    (median,) = lines(ax, "median")
    np.testing.assert_allclose(median.get_ydata(), run(0.1, top=30.0).eigenvalues)
    assert {str(line.get_color()) for line in [*lines(ax, "eigenvalues"), median]} == {str(median.get_color())}


def test_a_matrix_of_radii_has_a_colour_for_training_and_dashes_for_the_attack() -> None:
    results = [
        hessian(eps=eps, train_eps=trained, training={"eps": trained}) for eps in (0.0, 0.1) for trained in (0.0, 0.2)
    ]
    ax = drawn(*results)
    looks = [
        (str(line.get_color()), line.get_linestyle() + str(line._dash_pattern)) for line in lines(ax, "eigenvalues")
    ]
    assert len(set(looks)) == 4
    assert len({colour for colour, _ in looks}) == 2
    assert legend(ax)[1] == "ε = 0.1 (trained at 0)"


@pytest.mark.parametrize("k", [0, 1, 2, 7, 50])
def test_any_number_of_pairs_can_be_drawn(k: int) -> None:
    figure = figure_spectrum([run(0.1, k=k, status="partial")])
    figure.canvas.draw()
    assert len(lines(figure.axes[0], "eigenvalues")[0].get_ydata()) == k


def test_eigenvalues_that_are_not_finite_do_not_stop_the_drawing() -> None:
    values = np.r_[np.nan, np.inf, 3.0, 2.0, 1.0]
    figure_spectrum([run(0.1, k=5, eigenvalues=values)]).canvas.draw()


def test_one_figure_shows_one_kind() -> None:
    with pytest.raises(UsageError, match="one figure shows results of one kind; got none"):
        plot([])
    assert len(plot(run(0.1)).axes) == len(plot([run(0.1), run(0.2)]).axes) == 1
