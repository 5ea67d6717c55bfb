"""Pictures of sharpness: the numbers of the file on the axes, seeds together, the verdict in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.plots import DOUBLE, SINGLE, draw_curvature, draw_groups, draw_matrix, draw_rises, draw_ways, plot
from landscape.plots.style import new_figure
from landscape.results.caveats import caveats
from landscape.results.comparison import Comparison
from landscape.results.sharpness_study import compared, read_runs
from tests.results.made_sharpness import RANDOM, sharpness

RADII = (0.0, 0.1, 0.2)


def axes():  # type: ignore[no-untyped-def]  # matplotlib's Axes
    return new_figure().subplots()


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    results = [sharpness(eps, seed) for eps in RADII for seed in range(3)]
    results += [sharpness(0.1, 0, eps=(0.1,), epoch=epoch, rises=False) for epoch in (2, 4)]
    return [result.save(tmp_path / f"{number}.h5") for number, result in enumerate(results)]


def test_curvature_shows_both_with_their_errors() -> None:
    ax = axes()
    result = sharpness(0.1)
    draw_curvature(ax, [result])
    lambda_1, trace = ax.containers
    np.testing.assert_allclose(lambda_1.lines[0].get_xydata(), np.stack([result.eps, result.lambda_1], axis=1))
    np.testing.assert_allclose(trace.lines[0].get_ydata(), result.trace)
    assert ax.get_yscale() == "log"
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["λ₁", "trace"]


def test_rises_of_one_net_are_told_apart_by_radius_and_of_several_by_training() -> None:
    ax = axes()
    draw_rises(ax, [sharpness(0.1)], "random")
    medians = [line for line in ax.lines if line.get_gid() == "median"]
    assert [line.get_label() for line in medians] == ["ε = 0", "ε = 0.1", "ε = 0.2"]
    np.testing.assert_allclose(medians[1].get_ydata(), 35 * RANDOM**2 / 20)
    ax = axes()
    draw_rises(ax, [sharpness(eps, seed) for eps in RADII for seed in range(3)], "random")
    medians = [line for line in ax.lines if line.get_gid() == "median"]
    assert [line.get_label() for line in medians] == [f"ε = {eps:g} (3 seeds)" for eps in RADII]
    np.testing.assert_allclose(medians[1].get_ydata(), 1.02 * 35 * RANDOM**2 / 20)
    assert sum(line.get_gid() == "net" for line in ax.lines) == 9


def test_a_group_is_its_nets_its_interval_and_the_verdict(study: list[Path]) -> None:
    ax = axes()
    found = compared(read_runs(study), "lambda_1")
    assert isinstance(found, Comparison)
    draw_groups(ax, found, label="λ₁")
    points = [line for line in ax.lines if len(line.get_ydata()) == 3]
    np.testing.assert_allclose(np.sort(points[2].get_ydata()), 50 * np.array([1, 1.02, 1.04]))
    means = [container.lines[0].get_ydata()[0] for container in ax.containers]
    np.testing.assert_allclose(means, [20.4, 35.7, 51.0])
    assert ax.get_title(loc="right") == "rises with eps"
    assert ax.get_ylim()[0] == 0


def test_the_matrix_writes_its_means_and_frames_the_diagonal(study: list[Path]) -> None:
    ax = axes()
    runs = read_runs(study)
    columns = [(eps, compared(runs, "lambda_1", eps=eps)) for eps in RADII]
    draw_matrix(ax, [(eps, column) for eps, column in columns if isinstance(column, Comparison)])
    values = ax.images[0].get_array()
    np.testing.assert_allclose(values[1], 1.02 * np.array([30.0, 35.0, 40.0]))
    assert len(ax.patches) == 3
    assert ax.texts[4].get_text().startswith("35.7\n±")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.1", "0.2"]


def test_a_way_ends_at_the_net(study: list[Path]) -> None:
    ax = axes()
    draw_ways(ax, read_runs(study))
    ways = [line for line in ax.lines if line.get_gid() == "way" and len(line.get_xdata()) > 1]
    assert len(ways) == 1
    losses = ways[0].get_xdata()
    assert len(losses) == 3
    assert losses[-1] == pytest.approx(0.2)


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_plot_draws_what_the_file_has(width: float) -> None:
    assert len(plot(sharpness(0.1), width=width).axes) == 3
    assert len(plot(sharpness(0.1, rises=False), width=width).axes) == 1
    figure = plot([sharpness(0.1, collapsed=True), sharpness(0.2)])
    assert "constant classifier" in figure.get_suptitle()
    assert "lower bound" in figure.get_supxlabel()


def test_a_loose_attack_and_ascents_that_disagree_are_said() -> None:
    assert caveats(sharpness(0.1)) == []
    result = sharpness(0.1)
    result.arrays["worst_rise_frozen"][1, 2] = 1.2 * result.worst_rise[1, 2]
    result.arrays["worst_rise_gap"][0] = 0.5 * result.worst_rise[0]
    assert caveats(result) == [
        "at 1 of 9 worst shifts the attack found less than the images held at the net",
        "ascents to 3 of 9 worst shifts ended over 5 % apart",
    ]
