"""Pictures of scattering: the numbers of the file on the axes, the baselines beside them, seeds together."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.plots import DOUBLE, SINGLE, draw_nets, draw_parts, draw_readings, plot
from landscape.plots.style import new_figure
from landscape.results.caveats import caveats
from tests.results.made_scattering import RADII, scattering


def axes():  # type: ignore[no-untyped-def]  # matplotlib's Axes
    return new_figure().subplots()


def test_the_readings_stand_beside_what_chance_gives() -> None:
    ax = axes()
    result = scattering(0.1)
    draw_readings(ax, result)
    assert len(ax.containers) == 3
    np.testing.assert_allclose(ax.containers[2].lines[0].get_xydata(), np.stack([RADII, result.box_cosine], axis=1))
    levels = {gid: [line.get_ydata()[0] for line in ax.lines if line.get_gid() == gid] for gid in ("random", "restart")}
    assert levels == {"random": [0.2] * 3, "restart": [0.85] * 3}
    assert ax.get_xscale() == "log"
    ax = axes()
    draw_readings(ax, scattering(0.0))
    assert [text.get_text() for text in ax.texts] == ["no perturbation at ε = 0"]


def test_nets_are_grouped_by_training_or_by_attack() -> None:
    ax = axes()
    draw_nets(
        ax,
        [scattering(eps, seed) for eps in (0.1, 0.2) for seed in range(3)],
        "box_cosine",
        baseline="restart_box_cosine",
    )
    means = [line for line in ax.lines if line.get_gid() == "mean"]
    assert [line.get_label() for line in means] == ["ε = 0.1 (3 seeds)", "ε = 0.2 (3 seeds)"]
    np.testing.assert_allclose(means[1].get_ydata(), 1 - 0.41 * RADII)
    assert sum(line.get_gid() == "net" for line in ax.lines) == 6
    assert [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "baseline"] == [0.85, 0.85]
    ax = axes()
    draw_nets(ax, [scattering(0.1, eps=eps) for eps in (0.05, 0.1)], "gradient_cosine", frozen="gradient_cosine_frozen")
    assert [line.get_label() for line in ax.lines if line.get_gid() == "mean"] == ["ε = 0.05", "ε = 0.1"]
    assert sum(line.get_gid() == "frozen" for line in ax.lines) == 2


def test_the_parts_are_over_the_gradients_norm() -> None:
    ax = axes()
    draw_parts(ax, scattering(0.1))
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), RADII / 2)
    np.testing.assert_allclose(ax.containers[2].lines[0].get_ydata(), 0.6 * RADII / 2)
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_plot_draws_one_net_and_several(width: float) -> None:
    assert len(plot(scattering(0.1), width=width).axes) == 3
    figure = plot([scattering(0.1, collapsed=True), scattering(0.2), scattering(0.0)], width=width)
    assert len(figure.axes) == 3
    assert "constant classifier" in figure.get_suptitle()
    assert "One random start at all weights" in " ".join(figure.get_supxlabel().split())
    assert len(plot(scattering(0.1, positions="share", along="to")).axes) == 3
    with pytest.raises(UsageError, match="count distances in different ways"):
        plot([scattering(0.1), scattering(0.1, positions="rise")])


def test_missing_cosines_and_a_weak_attack_are_said() -> None:
    assert caveats(scattering(0.1)) == []
    assert caveats(scattering(0.0, changed={"undefined": np.ones(3)})) == []  # without an attack there are none
    result = scattering(0.1, changed={"undefined": np.array([0, 0.1, 0.04]), "loss_frozen": 0.3 + 1.1 * RADII})
    assert caveats(result) == [
        "up to 10 % of the examples have a perturbation of 0, and no cosine",
        "at 2 of 3 points the attack found less than the images held at the net",
    ]
