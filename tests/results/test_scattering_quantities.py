"""What a scattering result gives to a comparison: the cosine at a place, by example where that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.results.comparison import compare
from landscape.results.replicates import read_replicates
from landscape.results.scattering_quantities import SCATTERING_MEASURES
from tests.results.made_scattering import RADII, scattering


def saved(folder: Path, *results: Any) -> list[Path]:
    return [result.save(folder / f"r{number}.h5") for number, result in enumerate(results)]


def test_the_cosine_at_a_place_by_example(tmp_path: Path) -> None:
    paths = saved(tmp_path, *(scattering(eps, seed) for eps in (0.1, 0.2, 0.3) for seed in range(3)))
    found = read_replicates(paths, by="train_eps", at=0.2)
    assert found.nets[0].value == pytest.approx(1 - 0.2 * 0.2)
    assert found.nets[0].parts is not None
    np.testing.assert_allclose(found.nets[0].parts.mean(), found.nets[0].value, rtol=1e-6)
    comparison = compare(found, by="train_eps")
    assert comparison.effects[0].interval.value == pytest.approx(-0.08)
    assert comparison.effects[0].verdict == "falls with eps"
    middle = read_replicates(paths, by="train_eps", quantity="gradient_difference_adversary/gradient")
    assert middle.nets[0].value == pytest.approx(0.6 * RADII[1] / 2)
    assert "at the middle position, each net at its own eps" in middle.quantity
    for quantity in SCATTERING_MEASURES:
        assert np.isfinite(read_replicates(paths[:2], by="train_eps", quantity=quantity).nets[0].value)


def test_one_net_at_several_radii_of_attack(tmp_path: Path) -> None:
    paths = saved(tmp_path, *(scattering(0.1, seed, eps=eps) for eps in (0.05, 0.1) for seed in range(3)))
    comparison = compare(read_replicates(paths, by="eps"), by="eps")
    assert [group.name for group in comparison.groups] == [0.05, 0.1]
    assert (comparison.effects[0].paired, comparison.effects[0].verdict) == (True, "falls with eps")


def test_examples_without_a_perturbation_leave_the_mean_of_the_others(tmp_path: Path) -> None:
    holes = np.full((3, 4), 0.9)
    holes[1, 2] = np.nan
    paths = saved(tmp_path, *(scattering(0.1, seed, changed={"examples/box_cosine": holes}) for seed in range(2)))
    net = read_replicates(paths, by="train_eps", at=0.1).nets[0]
    assert net.parts is None
    assert (net.value, net.error) == (pytest.approx(1 - 0.2 * 0.1), 0.002)


@pytest.mark.parametrize(
    ("results", "settings", "message"),
    [
        ([scattering(0.1), scattering(0.2)], {"at": 0.3}, "measures at a radius of 0.02, 0.1, 0.2, and not 0.3"),
        (
            [scattering(0.1), scattering(0.2)],
            {"quantity": "box_cosin"},
            "no quantity 'box_cosin'; did you mean box_cosine",
        ),
        ([scattering(0.1), scattering(0.2)], {"quantity": "loss", "at": 0.1}, "--at is a radius around the net"),
        ([scattering(0.1), scattering(0.2, along="top1")], {}, "along differs"),
        ([scattering(0.1), scattering(0.2, positions="rise")], {}, "positions differs"),
        ([scattering(0.1), scattering(0.0)], {}, "has no finite cosine of perturbations"),
        (
            [scattering(0.1, centre_gradient_norm=0.0), scattering(0.2)],
            {"quantity": "gradient_difference/gradient"},
            "a gradient of 0, and nothing over it",
        ),
    ],
)
def test_what_does_not_compare_is_said(
    tmp_path: Path, results: list[Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(LandscapeError, match=message):
        read_replicates(saved(tmp_path, *results), by="train_eps", **settings)
