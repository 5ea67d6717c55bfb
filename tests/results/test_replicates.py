"""What each kind of result gives to a comparison, against arithmetic on its arrays; and what is refused, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.results import KINDS, Result, caveats, is_collapsed
from landscape.results.replicates import Replicates, read_replicates
from tests.results.made import hessian, with_density
from tests.results.made_evaluate import sweep
from tests.results.made_surface import NOT_FINITE, SKIPPED, surface

X, Y = np.linspace(-0.4, 0.6, 6), np.linspace(-0.3, 0.6, 4)


def saved(folder: Path, results: list[Result]) -> list[Path]:
    return [result.save(folder / f"r{number}.h5") for number, result in enumerate(results)]


def spectrum(trained: float, seed: int, **attrs: Any) -> Result:
    own: dict[str, Any] = {"eps": trained, "train_eps": trained, "training": {"eps": trained, "seed": seed}}
    return hessian(**{**own, "checkpoint_sha256": f"{trained}-{seed}", **attrs})


def plane(trained: float, seed: int, **attrs: Any) -> Result:
    own: dict[str, Any] = {
        "train_eps": trained,
        "training": {"eps": trained, "seed": seed},
        "eps": (0.0, 0.1),
        "x": X,
        "y": Y,
    }
    return surface(**{**own, "checkpoint_sha256": f"{trained}-{seed}", **attrs})


def read(folder: Path, results: list[Result], **options: Any) -> Replicates:
    return read_replicates(saved(folder, results), **{"by": "train_eps", **options})


def test_a_spectrum_gives_its_largest_eigenvalue_and_its_error(tmp_path: Path) -> None:
    found = read(tmp_path, [spectrum(0.1, 3, top=40.0), spectrum(0.1, 4, top=50.0), spectrum(0.0, 3, top=20.0)])
    assert [(net.group, net.seed, net.value) for net in found.nets] == [(0.1, 3, 40.0), (0.1, 4, 50.0), (0.0, 3, 20.0)]
    assert [net.error for net in found.nets] == pytest.approx([2.4, 3.0, 1.2])
    assert found.quantity == "largest Hessian eigenvalue, each net at its own eps"


def test_an_evaluations_nets_are_what_training_said_of_them(tmp_path: Path) -> None:
    """One file of several nets is enough; a constant classifier is known by what its training says of its end."""
    (result,) = sweep({("constant", 0.01): (None,), ("linear", 0.01): (50,)})
    found = read(tmp_path, [result], by="eps_schedule")
    assert [(net.group, net.collapsed) for net in found.nets] == [("constant", True), ("linear", False)]
    assert not any("do not say whether" in caution for caution in found.cautions)
    assert caveats(result) == ["1 of 2 nets are constant classifiers"]
    joined = Result("evaluate", result.arrays, {**result.attrs, "ensemble": "softmax"})
    assert is_collapsed(joined) is None and caveats(joined) == []  # of its members it says nothing


def test_the_other_quantities_of_a_spectrum(tmp_path: Path) -> None:
    nets = [spectrum(0.1, seed, loss=0.5, loss_se=0.02, **with_density()) for seed in (1, 2)]
    by_name = {
        name: read(tmp_path / str(k), nets, quantity=name).nets[0]
        for k, name in enumerate(("trace", "loss", "lambda_1/loss"))
    }
    assert (by_name["loss"].value, by_name["loss"].error) == (0.5, 0.02)
    assert by_name["lambda_1/loss"].value == pytest.approx(80.0)
    assert by_name["trace"].value == 120.0
    assert by_name["trace"].error == pytest.approx(10 / 2.3646, rel=1e-4)  # Student's quantile of 8 probes


def test_the_rise_of_a_plane_is_its_mean_above_the_net(tmp_path: Path) -> None:
    found = read(tmp_path, [plane(0.1, 1), plane(0.1, 2)], eps=0.1)
    loss = plane(0.1, 1).loss[1]
    assert found.nets[0].value == pytest.approx(loss.mean() - 0.2)
    assert found.nets[0].error == pytest.approx(0.02 * loss.mean() + 0.01)
    assert found.quantity == "mean rise of the loss above the net's over the range, eps = 0.1"


def test_the_rise_at_a_radius_is_that_of_a_function_linear_in_it(tmp_path: Path) -> None:
    """Bilinear interpolation is exact for 1 + 3x + xy and for the mean over the circle of them: 1."""

    def saddle(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 1 + 3 * x - 2 * y + x * y

    nets = [plane(0.1, seed, function=saddle) for seed in (1, 2)]
    assert read(tmp_path / "a", nets, at=0.25).nets[0].value == pytest.approx(0.0, abs=1e-12)
    fine = {"x": np.linspace(-1, 1, 81), "y": np.linspace(-1, 1, 81)}
    nets = [plane(0.1, seed, function=lambda e, x, y: 2 + x**2 + 3 * y**2, **fine) for seed in (1, 2)]
    # The circle's mean of x^2 + 3 y^2 is 2 r^2; a cell of h = 1/40 adds at most (1 + 3) h^2 / 4.
    assert read(tmp_path / "b", nets, at=0.5).nets[0].value == pytest.approx(0.5, abs=4 / 1600 / 4)


def test_the_rise_at_a_radius_of_a_line_is_that_of_its_two_points(tmp_path: Path) -> None:
    nets = [
        plane(0.1, k, function=lambda e, x, y: 1 + x + 8 * np.abs(x), y=[0.0], x=np.linspace(-1, 1, 9)) for k in (1, 2)
    ]
    assert read(tmp_path, nets, at=0.6).nets[0].value == pytest.approx(8 * 0.6)


def test_the_losses_of_single_examples_are_taken_where_they_are_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    single = rng.random((2, 4, 6, 7)).astype(np.float32)
    changes = {"example_loss": single, "example_index": np.arange(7), "loss": single.mean(axis=3, dtype=float)}
    centre = single[:, 1, 2].mean(axis=1, dtype=float)  # (x, y) = (0, 0)
    found = read(tmp_path, [plane(0.1, k, **changes, n_examples=7, centre_loss=centre) for k in (1, 2)])
    parts = found.nets[0].parts
    assert parts is not None
    np.testing.assert_allclose(parts, single[1].astype(float).mean(axis=(0, 1)) - single[1, 1, 2], atol=1e-7)
    assert found.nets[0].value == pytest.approx(parts.mean())


def test_points_that_one_file_lacks_are_left_out_of_all_and_said(tmp_path: Path) -> None:
    change = {(1, 3, 5): (np.nan, SKIPPED), (1, 0, 0): (np.inf, NOT_FINITE)}
    found = read(tmp_path, [plane(0.1, 1), plane(0.1, 2, change=change)])
    known = np.ones((4, 6), bool)
    known[3, 5] = known[0, 0] = False
    assert found.nets[0].value == found.nets[1].value == pytest.approx(plane(0.1, 1).loss[1][known].mean() - 0.2)
    assert "over 22 of 24 points: the others are not known in every file" in found.cautions


def test_the_nets_of_an_evaluation_are_replicates_of_their_own(tmp_path: Path) -> None:
    correct = np.array([[[1, 1, 1, 0], [1, 0, 0, 0]], [[1, 1, 1, 1], [0, 0, 1, 1]]], dtype=bool)  # net, attack, example
    rates = 1 - correct.mean(axis=2)
    shared = {name: value for name, value in hessian().attrs.items() if name in KINDS["evaluate"].attributes}
    result = Result(
        "evaluate",
        {
            "checkpoints": ["a.pt", "b.pt"], "attacks": ["clean", "pgd10"], "error_rate": rates, "error_low": rates,
            "error_high": rates, "worst_case": 1 - correct.all(axis=1).mean(axis=1), "correct": correct,
            "indices": np.arange(4),
        },
        {
            **shared, "n_examples": 4, "eps": 0.1, "ensemble": "none", "cascade": False, "preset": "default",
            "train_eps": float("nan"), "checkpoint_sha256": ["x", "y"], "checkpoint": ["a.pt", "b.pt"],
            "training": [{"eps": 0.1, "seed": 5}, {"eps": 0.2, "seed": 5}],
        },
    )  # fmt: skip
    other = Result("evaluate", result.arrays, {**result.attrs, "checkpoint_sha256": ["u", "v"], "training": [
        {"eps": 0.1, "seed": 6}, {"eps": 0.2, "seed": 6}]})  # fmt: skip
    worst = read(tmp_path / "a", [result, other])
    assert [(net.group, net.seed, net.value) for net in worst.nets] == [
        (0.1, 5, 0.75), (0.2, 5, 0.5), (0.1, 6, 0.75), (0.2, 6, 0.5),
    ]  # fmt: skip
    clean = read(tmp_path / "b", [result, other], quantity="clean").nets[0]
    assert clean.parts is not None
    assert (clean.value, clean.parts.tolist()) == (0.25, [0, 0, 0, 1])
    with pytest.raises(LandscapeError, match="no attack 'square' in these files"):
        read(tmp_path / "c", [result, other], quantity="square")


def test_grouping_by_a_setting_of_training(tmp_path: Path) -> None:
    nets = [
        spectrum(
            0.1, seed, training={"eps": 0.1, "seed": seed, "eps_schedule": name}, checkpoint_sha256=f"{name}{seed}"
        )
        for name in ("constant", "linear")
        for seed in (1, 2)
    ]
    assert {net.group for net in read(tmp_path, nets, by="eps_schedule").nets} == {"constant", "linear"}


def test_trainings_that_differ_beside_the_group_are_cautioned(tmp_path: Path) -> None:
    nets = [spectrum(eps, 1, training={"eps": eps, "seed": 1, "epochs": n}) for eps, n in ((0.0, 5), (0.1, 9))]
    assert any(
        "the trainings differ in epochs (5, 9) beside train_eps" in text for text in read(tmp_path, nets).cautions
    )


@pytest.mark.parametrize(
    ("results", "options", "said"),
    [
        ([spectrum(0.1, 1)], {}, "a comparison needs two files or more"),
        ([spectrum(0.1, 1), plane(0.1, 1)], {}, "the files are results of hessian and surface"),
        ([spectrum(0.1, 1), spectrum(0.2, 1, data_sha256="x")], {}, "data_sha256 differs: cdcd"),
        ([spectrum(0.1, 1), spectrum(0.2, 1, n_examples=500)], {}, "n_examples differs: 2,000 in "),
        ([spectrum(0.1, 1), spectrum(0.2, 1, eps=0.3)], {}, "eps differs: 0.3 in "),
        ([spectrum(0.1, 1), spectrum(0.2, 1, attack="pgd:steps=9")], {}, "attack differs"),
        ([spectrum(0.1, 1), spectrum(0.2, 1, model="vgg16")], {}, "group them with --by model"),
        ([spectrum(0.1, 1), spectrum(0.1, 1)], {}, "are the same net, in one group (0.1)"),
        ([spectrum(0.1, 1), spectrum(0.1, 1, checkpoint_sha256="other")], {}, "nets of the same training seed, 1"),
        ([spectrum(0.1, 1), spectrum(0.2, 1)], {"quantity": "traces"}, "no quantity 'traces'; did you mean trace?"),
        ([spectrum(0.1, 1), spectrum(0.2, 1)], {"quantity": "trace"}, "has no trace; make it again with --density"),
        ([spectrum(0.1, 1), spectrum(0.2, 1)], {"by": "eps_shedule"}, "does not say its eps_shedule"),
        ([spectrum(0.1, 1), spectrum(0.2, 1)], {"at": 0.2}, "--at is a radius around the net"),
        ([spectrum(0.1, 1), spectrum(0.1, 2)], {"eps": 0.2}, "--eps 0.2 was asked, and a file is of eps 0.1"),
        ([plane(0.1, 1), plane(0.1, 2)], {"eps": 0.2}, "a surface result has eps 0, 0.1, and not 0.2"),
        ([plane(0.1, 1), plane(0.1, 2, x=2 * X)], {}, "x differs: 6 points, -0.4 to 0.6 in "),
        ([plane(0.1, 1), plane(0.1, 2)], {"at": 0.5}, "covers radius 0.3 around its net, 0.5 was asked"),
        ([plane(0.1, 1), plane(0.1, 2)], {"at": -1.0}, "--at -1 is no radius"),
        ([plane(0.1, 1), plane(0.1, 2, units="filter norm")], {}, "units differs"),
    ],
)
def test_what_does_not_compare_is_refused_with_the_difference(
    tmp_path: Path, results: list[Result], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LandscapeError) as caught:
        read(tmp_path, results, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clean_surfaces_have_no_attack_to_differ_in(tmp_path: Path) -> None:
    clean = spectrum(0.0, 1, attack="none", adversary="none")
    assert len(read(tmp_path, [clean, spectrum(0.1, 1)]).nets) == 2


def test_surfaces_over_other_ranges_compare_at_a_radius_that_all_cover(tmp_path: Path) -> None:
    assert len(read(tmp_path, [plane(0.1, 1), plane(0.1, 2, x=2 * X, y=2 * Y)], at=0.2).nets) == 2


def test_the_rise_over_the_loss_is_the_rise_divided_with_its_error_at_worst(tmp_path: Path) -> None:
    nets = [plane(0.1, seed) for seed in (1, 2)]
    rise, loss, share = (
        read(tmp_path / str(k), nets, quantity=name).nets[0] for k, name in enumerate(("rise", "loss", "rise/loss"))
    )
    assert share.value == pytest.approx(rise.value / loss.value)
    assert share.error >= share.value * loss.error / loss.value > 0
    with pytest.raises(LandscapeError, match="no rise over it; choose --quantity rise"):
        read(tmp_path / "zero", [plane(0.1, seed, centre_loss=np.zeros(2)) for seed in (1, 2)], quantity="rise/loss")
