"""Pictures of evaluations: the marks stand where the numbers are."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.plots import DOUBLE, SINGLE, plot
from tests.results.made_evaluate import evaluation


def test_errors_and_worst_cases_stand_at_their_values() -> None:
    result = evaluation([[10, 40, 45, 30], [20, 50, 55, 60]])
    figure = plot(result)
    (axes,) = figure.axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert np.allclose([mark.get_ydata() for mark in marks], [[10, 40, 45, 30], [20, 50, 55, 60]])
    diamonds = [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == pytest.approx([45, 60])
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "clean",
        "pgd100",
        "apgd-ce",
        "square",
        "worst case",
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["net0", "net1"]
    assert axes.get_ylim()[1] >= 100 * result.error_high.max() and figure.get_figwidth() == SINGLE


def test_the_bars_are_wilsons_intervals() -> None:
    result = evaluation([[0, 40, 45, 100]])
    axes = plot(result).axes[0]
    segments = axes.collections[0].get_segments()
    wanted = 100 * np.stack([result.error_low[0], result.error_high[0]], 1)
    assert np.allclose([[low[1], high[1]] for low, high in segments], wanted)


def test_a_curve_stands_beside_them() -> None:
    figure = plot(evaluation(curve=True))
    right = figure.axes[1]
    assert right.lines[0].get_ydata().tolist() == pytest.approx([10, 35, 60, 100, 100])
    assert right.lines[1].get_xdata()[0] == 0.1  # the radius of the evaluation
    assert 0.2 < right.get_xlim()[1] < 1 and figure.get_figwidth() == DOUBLE


def test_many_nets_have_no_legend_and_several_results_a_row_each() -> None:
    many = evaluation([[1, 2, 3, 4]] * 9)
    figure = plot([many, evaluation(curve=True)])
    assert len(figure.axes) == 4 and figure.axes[0].get_legend() is None
    assert figure.axes[0].get_title(loc="left") == "9 nets, ε = 0.1, 100 test examples"
