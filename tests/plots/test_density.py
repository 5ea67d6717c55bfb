from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape.errors import ResultError
from landscape.plots import DOUBLE, SINGLE, draw_density, figure_spectrum
from tests.results.made import hessian, with_density


def test_each_curve_is_the_files_numbers_on_a_logarithmic_axis() -> None:
    results: list[Any] = [hessian(**with_density(), eps=eps, train_eps=eps) for eps in (0.0, 0.1)]
    ax = Figure().add_subplot()
    draw_density(ax, [*results, hessian(eps=0.3, train_eps=0.3)])
    lines = [line for line in ax.lines if line.get_gid() == "density"]
    assert len(lines) == 2 and ax.get_yscale() == "log"
    for line, result in zip(lines, results, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), result.arrays["density/grid"])
        np.testing.assert_array_equal(line.get_ydata(), result.arrays["density/values"])
    # One eigenvalue of P makes a peak of this height; the axis reaches below it.
    peak = 1 / (results[0].n_parameters * results[0].density_kernel_width * math.sqrt(2 * math.pi))
    assert ax.get_ylim()[0] == pytest.approx(peak / 10)


@pytest.mark.parametrize(("width", "places"), [(SINGLE, "below"), (DOUBLE, "beside")])
def test_a_figure_has_the_panel_where_a_result_has_a_density(width: float, places: str) -> None:
    plain = figure_spectrum([hessian()], width=width)
    assert len(plain.axes) == 1
    figure = figure_spectrum([hessian(**with_density()), hessian(eps=0.2)], width=width)
    first, second = (ax.get_subplotspec() for ax in figure.axes)
    assert first is not None and second is not None
    assert (second.rowspan.start, second.colspan.start) == ((1, 0) if places == "below" else (0, 1))
    note = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "Density: Gaussian kernel of standard deviation 0.5; 8 probes, outer pairs exact." in note


def test_without_a_density_there_is_nothing_to_draw() -> None:
    with pytest.raises(ResultError, match="landscape hessian CKPT --density"):
        draw_density(Figure().add_subplot(), [hessian()])
