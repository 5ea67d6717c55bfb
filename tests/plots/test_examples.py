"""Pictures of the examples behind an eigenvalue: the artists hold the file's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.errors import ResultError
from landscape.plots import (
    DOUBLE,
    SINGLE,
    draw_concentration,
    draw_example_curvature,
    draw_images,
    figure_hessian,
    plot,
    save_figure,
)
from landscape.plots.style import ALARM, INK
from landscape.results import Result
from landscape.results.concentration import concentration_curve
from tests.results.made import hessian, with_density, with_examples


def made(*, of: dict[str, Any] | None = None, **attrs: Any) -> Result:
    return hessian(**with_examples(**(of or {})), **attrs)


def lines(ax: Any, gid: str) -> list[Any]:
    return [line for line in ax.lines if line.get_gid() == gid]


def words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_cloud_is_the_file_s_numbers_wrong_examples_apart() -> None:
    result = made()
    ax = Figure().add_subplot()
    draw_example_curvature(ax, result)
    margin, terms = result.arrays["examples/margin"], result.arrays["examples/curvature"][0]
    right, wrong = lines(ax, "examples")
    for line, chosen in ((right, margin >= 0), (wrong, margin < 0)):
        np.testing.assert_array_equal(line.get_xdata(), margin[chosen])
        np.testing.assert_array_equal(line.get_ydata(), terms[chosen])
    assert wrong.get_color() == ALARM
    (ringed,) = lines(ax, "sharpest")
    assert sorted(ringed.get_ydata()) == sorted(np.sort(terms)[-10:])
    (mean,) = lines(ax, "mean")
    np.testing.assert_allclose(mean.get_ydata(), terms.reshape(20, 10).mean(1))
    said = [text.get_text() for text in ax.texts]
    carried = 100 * terms[margin < 0].sum() / terms.sum()
    assert said[0] == f"wrong: {100 * (margin < 0).mean():.0f} %\ncarry {carried:.0f} %" and len(said) == 2


def test_without_margins_the_cloud_lies_over_the_loss() -> None:
    result = made(of={"scores": False})
    ax = Figure().add_subplot()
    draw_example_curvature(ax, result)
    assert ax.get_xlabel() == "loss, attacked (nats)" and not ax.texts
    assert sorted(lines(ax, "examples")[0].get_xdata()) == sorted(result.arrays["examples/loss"])


def test_concentration_of_one_result_and_of_several() -> None:
    ax = Figure().add_subplot()
    result = made()
    draw_concentration(ax, [result])
    drawn = lines(ax, "concentration")
    assert [line.get_label() for line in drawn] == ["$\\lambda_1$", "$\\lambda_2$", "$\\lambda_3$"]
    for line, terms in zip(drawn, result.arrays["examples/curvature"], strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * concentration_curve(terms)[1])
    ax = Figure().add_subplot()
    draw_concentration(
        ax, [made(eps=eps, train_eps=0.1) for eps in (0.0, 0.1)] + [made(eps=0.2, train_eps=0.2), hessian()]
    )
    drawn = lines(ax, "concentration")
    assert len(drawn) == 3  # the fourth has no examples
    assert len({to_hex(line.get_color()) for line in drawn}) == 2 and drawn[0].get_color() == drawn[1].get_color()
    assert len({line.get_linestyle() + str(line._dash_pattern) for line in drawn[:2]}) == 2


def test_images_are_told_by_label_rival_and_share() -> None:
    result = made()
    axes = Figure().subplots(2, 6).ravel()
    draw_images(axes, result)
    terms, index = result.arrays["examples/curvature"][0], result.arrays["examples/index"]
    for ax, image, number in zip(
        axes, result.arrays["examples/image"], result.arrays["examples/sharpest"], strict=False
    ):
        place = int(np.flatnonzero(index == number)[0])
        label, rival = result.arrays["examples/label"][place], result.arrays["examples/rival"][place]
        np.testing.assert_array_equal(ax.images[0].get_array(), image[0])
        assert ax.get_title() == f"{label} / {rival}"
        assert ax.title.get_color() == (ALARM if result.arrays["examples/margin"][place] < 0 else INK)
        assert ax.get_xlabel() == f"{100 * terms[place] / terms.sum():.2f} %"
    assert not axes[10].images and not axes[11].spines["left"].get_visible()
    coloured = made(of={"shape": (3, 5, 4)})
    draw_images(axes, coloured)
    np.testing.assert_array_equal(axes[0].images[-1].get_array()[2, 1], coloured.arrays["examples/image"][0, :, 2, 1])


@pytest.mark.parametrize(("width", "columns"), [(None, 3), (SINGLE, 1), (DOUBLE, 3)])
def test_one_result_has_its_images_and_three_panels(width: float | None, columns: int) -> None:
    figure = figure_hessian([made()], width=width)
    panels = figure.axes[-3:]
    assert len(figure.axes) - 3 == 10 and [bool(ax.images) for ax in figure.axes] == [True] * 10 + [False] * 3
    spec = panels[-1].get_subplotspec()
    assert spec is not None and spec.get_gridspec().ncols == columns
    assert "Images: the 10 examples with most of λ1 (ringed)" in words(figure)
    figure.canvas.draw()
    page = figure.get_window_extent()
    for text in figure.texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


def test_panels_come_with_what_the_results_hold() -> None:
    assert len(plot([hessian()]).axes) == 1
    dense = figure_hessian([made(**with_density())])
    assert len([ax for ax in dense.axes if not ax.images]) == 4
    several = figure_hessian([made(eps=0.0, train_eps=0.0), made(eps=0.2, train_eps=0.2)])
    assert len(several.axes) == 2 and not any(ax.images for ax in several.axes)
    assert "Images" not in words(several)
    assert "each term holds 0.01 of the weight decay" in words(figure_hessian([made(weight_decay=0.01)]))


def test_a_net_that_is_flat_has_no_shares_and_a_picture(tmp_path: Any) -> None:
    flat = {"examples/curvature": np.zeros((3, 200)), "eigenvalues": np.zeros(20)}
    save_figure(figure_hessian([hessian(**{**with_examples(), **flat})]), tmp_path / "flat.png")


def test_without_examples_there_is_nothing_to_draw() -> None:
    for draw in (
        lambda: draw_example_curvature(Figure().add_subplot(), hessian()),
        lambda: draw_concentration(Figure().add_subplot(), [hessian()]),
        lambda: draw_images([Figure().add_subplot()], hessian()),
    ):
        with pytest.raises(ResultError, match="landscape hessian CKPT --per-example 3"):
            draw()
