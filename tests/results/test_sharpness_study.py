"""Several nets' sharpness as one study: which checkpoint counts, what each quantity is, and what does not compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from landscape.errors import LandscapeError, ResultError, UsageError
from landscape.results.comparison import Comparison
from landscape.results.replicates import read_replicates
from landscape.results.sharpness_study import common_radii, compared, matrix, read_runs, shift_of
from tests.results.made import hessian
from tests.results.made_sharpness import sharpness

RADII = (0.0, 0.1, 0.2)


def saved(folder: Path, *results: Any) -> list[Path]:
    return [result.save(folder / f"r{number}.h5") for number, result in enumerate(results)]


def study(folder: Path, seeds: int = 3, **attrs: Any) -> list[Path]:
    return saved(folder, *(sharpness(eps, seed, **attrs) for eps in RADII for seed in range(seeds)))


def test_the_last_checkpoint_of_a_run_counts_and_the_earlier_are_its_way(tmp_path: Path) -> None:
    way = [sharpness(0.1, 0, eps=(0.1,), epoch=epoch, rises=False) for epoch in (4, 2)]
    again = sharpness(0.1, 0, eps=(0.1,), rises=False)  # the last checkpoint once more, at its own radius alone
    paths = saved(tmp_path, *way, sharpness(0.1, 0), again, sharpness(0.0, 0), sharpness(0.1, 1))
    runs = read_runs(paths)
    assert [run.train_eps for run in runs] == [0.0, 0.1, 0.1]
    own = next(run for run in runs if len(run.paths) > 1)
    assert [result.attrs["training"]["epoch"] for result in own.results] == [2, 4, 8, 8]
    assert own.paths[-1] == paths[2]
    assert common_radii(runs) == list(RADII)
    assert shift_of(runs, "worst_rise/loss") == 0.005
    assert shift_of(runs, "random_rise") == 0.2
    assert shift_of(runs, "trace") is None


def test_nets_that_do_not_say_how_they_were_trained_are_runs_by_themselves(tmp_path: Path) -> None:
    unknown = [sharpness(training=None, checkpoint_sha256=name) for name in "ab"]
    assert len(read_runs(saved(tmp_path, *unknown))) == 2


def test_effects_are_those_of_the_numbers(tmp_path: Path) -> None:
    runs = read_runs(study(tmp_path))
    own = compared(runs, "lambda_1")
    assert isinstance(own, Comparison)
    # lambda_1 at one's own eps is (20 + 150 eps)(1 + seed / 50): the mean over seeds 0 to 2 is 1.02 of it.
    assert [group.mean.value for group in own.groups] == pytest.approx([20.4, 35.7, 51.0])
    assert own.effects[0].interval.value == pytest.approx(30.6)
    assert (own.effects[0].verdict, own.effects[0].paired) == ("rises with eps", True)
    clean = compared(runs, "lambda_1", eps=0.0)
    assert isinstance(clean, Comparison)
    assert [group.mean.value for group in clean.groups] == pytest.approx([20.4, 30.6, 40.8])
    rise = compared(runs, "worst_rise", at=0.01)
    assert isinstance(rise, Comparison)
    assert rise.groups[1].mean.value == pytest.approx(0.357)
    assert "of 0.01, each net at its own eps" in rise.quantity


def test_the_matrix_is_of_means_over_the_nets_that_count(tmp_path: Path) -> None:
    paths = [*study(tmp_path / "a"), *saved(tmp_path / "b", sharpness(0.2, 3, factor=1e-4, collapsed=True))]
    runs = read_runs(paths)
    trained, radii, values = matrix(runs, "trace")
    assert (trained, radii) == (list(RADII), list(RADII))
    np.testing.assert_allclose(values[2], 6 * 1.02 * np.array([40.0, 45.0, 50.0]))
    assert matrix(runs, "gauss_newton_share")[2] == pytest.approx(np.full((3, 3), 0.99))
    bare = [sharpness(0.1, 0, rises=False)]
    del bare[0].arrays["trace"], bare[0].arrays["trace_low"], bare[0].arrays["trace_high"]
    assert np.isnan(matrix(read_runs(saved(tmp_path / "c", *bare)), "trace")[2]).all()


def test_collapsed_nets_are_left_out_and_counted(tmp_path: Path) -> None:
    dead = [sharpness(0.2, 3, factor=1e-4, collapsed=True)]
    paths = [*study(tmp_path / "a"), *saved(tmp_path / "b", *dead)]
    found = compared(read_runs(paths), "lambda_1")
    assert isinstance(found, Comparison)
    assert (found.groups[2].collapsed, len(found.groups[2].nets)) == (1, 3)


@pytest.mark.parametrize(
    ("quantity", "value", "error"),
    [
        ("lambda_1", 35.0, 0.05 * 35),
        ("trace", 210.0, 0.5 * 35 / stdtrit(7, 0.975)),
        ("loss", 0.2, 0.01),
        ("gauss_newton_share", 0.99, np.nan),
        ("relative_lambda_1", 3500.0, 175.0),
        ("worst_rise", 35 * 0.005, 0.05 * 35 * 0.005),
        ("random_rise", 35 * 0.04 / 20, 0.05 * 35 * 0.04 / 20),
        ("lambda_1/loss", 175.0, 1.75 / 0.2 + 35 * 0.01 / 0.04),
        ("worst_rise/loss", 0.875, 0.00875 / 0.2 + 0.175 * 0.01 / 0.04),
    ],
)
def test_every_quantity_is_what_its_name_says(tmp_path: Path, quantity: str, value: float, error: float) -> None:
    nets = [sharpness(0.1, 0, checkpoint_sha256=f"{seed}", training={"eps": 0.1, "seed": seed}) for seed in (0, 1)]
    found = read_replicates(saved(tmp_path, *nets), by="train_eps", quantity=quantity).nets[0]
    assert found.value == pytest.approx(value)
    assert found.error == pytest.approx(error, nan_ok=True)


def test_what_does_not_compare_is_one_sentence(tmp_path: Path) -> None:
    bare = saved(tmp_path / "a", *(sharpness(0.1, seed, rises=False) for seed in (0, 1)))
    with pytest.raises(ResultError, match="has no worst_rise; measure it, or choose another --quantity"):
        read_replicates(bare, by="train_eps", quantity="worst_rise")
    whole = saved(tmp_path / "b", *(sharpness(0.1, seed) for seed in (0, 1)))
    with pytest.raises(ResultError, match="at the relative radii 0.002, 0.005, 0.01, and not at 0.3; give --at one of"):
        read_replicates(whole, by="train_eps", quantity="worst_rise", at=0.3)
    with pytest.raises(UsageError, match="--at is a radius around the net"):
        read_replicates(whole, by="train_eps", quantity="lambda_1", at=0.3)
    with pytest.raises(UsageError, match="a sharpness result has eps 0, 0.1, 0.2, and not 0.3"):
        read_replicates(whole, by="train_eps", eps=0.3)
    with pytest.raises(UsageError, match="did you mean lambda_1"):
        read_replicates(whole, by="train_eps", quantity="lambda1")
    other = saved(tmp_path / "c", sharpness(0.1, 0), sharpness(0.2, 0, data_sha256="ef" * 32))
    assert "data_sha256 differs" in str(compared(read_runs(other), "lambda_1"))
    with pytest.raises(LandscapeError, match="is a hessian result; wanted those of landscape sharpness"):
        read_runs(saved(tmp_path / "d", hessian()))
