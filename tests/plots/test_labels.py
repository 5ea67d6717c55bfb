from __future__ import annotations

from typing import Any

import pytest

from landscape.plots.labels import footnote, group, net_name
from tests.results.made import hessian


def run(eps: float, train_eps: float | None = None, *, seed: int = 0, epoch: int = 20, **attrs: Any) -> Any:
    trained = eps if train_eps is None else train_eps
    training = {"eps": trained, "seed": seed, "epoch": epoch, "history": [{"loss": seed}]}
    return hessian(eps=eps, train_eps=trained, **{"training": training, **attrs})


def labels(*results: Any) -> list[str]:
    return [curve.label for curve in group(results)]


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ([run(8 / 255), run(0), run(4 / 255)], ["ε = 0", "ε = 4/255", "ε = 8/255"]),
        ([run(0.1, 0), run(0.1)], ["ε = 0.1 (trained at 0)", "ε = 0.1 (trained at 0.1)"]),
        ([run(0.1, float("nan"))], ["ε = 0.1"]),
        ([run(0.1, seed=s) for s in range(3)] + [run(0)], ["ε = 0", "ε = 0.1 (3 seeds)"]),
        ([run(0.1, epoch=1), run(0.1, epoch=9)], ["ε = 0.1, epoch 1", "ε = 0.1, epoch 9"]),
        ([run(0.1, n_examples=10), run(0.1)], ["ε = 0.1, N = 10", "ε = 0.1, N = 2,000"]),
        ([run(0.1), run(0.1, checkpoint="b/other.pt")], ["ε = 0.1, net", "ε = 0.1, other"]),
        ([run(0.1), run(0.1)], ["ε = 0.1 [1]", "ε = 0.1 [2]"]),
        ([run(0.1, training=None), run(0.1, training=None)], ["ε = 0.1 [1]", "ε = 0.1 [2]"]),
    ],
)
def test_labels_name_eps_and_tell_curves_apart(results: list[Any], wanted: list[str]) -> None:
    assert labels(*results) == wanted


def test_seeds_of_one_recipe_are_one_curve_and_other_recipes_are_not() -> None:
    curves = group([run(0.1, seed=s) for s in range(3)] + [run(0.1, seed=3, epoch=5)])
    assert sorted(len(curve.results) for curve in curves) == [1, 3]
    assert {curve.eps for curve in curves} == {0.1}


def test_the_colour_follows_the_radius_trained_at() -> None:
    assert [curve.eps for curve in group([run(0.1, 0.0), run(0.1, 0.2), run(0.3, float("nan"))])] == [0.0, 0.2, 0.3]


def test_the_footnote_says_what_the_numbers_rest_on() -> None:
    assert footnote([run(0.0), run(0.1)]) == (
        "lenet:width=4 (P = 1,000); mnist train, N = 2,000; ℓ∞ ε = 0, 0.1; PGD-10 (step 0.25 ε); adversary frozen; "
        "training seed 0; no BatchNorm"
    )


def test_the_footnote_names_the_seeds_of_training_where_the_files_do() -> None:
    assert "; training seeds 0, 2; " in footnote([run(0.1, seed=2), run(0.1), run(0.1)])
    assert "; training seeds 0 to 4; " in footnote([run(0.1, seed=seed) for seed in range(5)])
    assert "seed" not in footnote([run(0.1, training=None)])


def test_the_footnote_of_clean_curvature_names_no_attack() -> None:
    assert footnote([run(0.0, batchnorm="eval")]).endswith("ℓ∞ ε = 0; training seed 0; BatchNorm eval")


@pytest.mark.parametrize(
    ("attrs", "part"),
    [
        ({"n_examples": 500}, "N = 500 / 2,000"),
        ({"norm": "l2"}, "ℓ2 / ℓ∞ ε"),
        ({"attack": "pgd:steps=20,step=1/255,restarts=3"}, "PGD-20 (step 1/255, 3 restarts) / PGD-10"),
        ({"attack": "square:n=5"}, "square:n=5 / PGD-10"),
        ({"model": "linear:input=64,classes=10"}, "linear / lenet:width=4"),
        ({"model": None, "split": None}, "unknown / lenet"),
        ({"adversary": "reattacked"}, "adversary reattacked / frozen"),
    ],
)
def test_the_footnote_tells_what_differs(attrs: dict[str, Any], part: str) -> None:
    assert part in footnote([run(0.1, **attrs), run(0.2)])


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [("digits/eps0.1", "eps0.1"), ("runs/eps0.1-seed0.pt", "eps0.1-seed0"), ("eps0.1-seed0",) * 2],
)
def test_a_net_is_called_by_all_of_its_name(checkpoint: str, name: str) -> None:
    assert net_name(checkpoint) == name
