"""Scattering: closed forms of one-dimensional, linear and quadratic problems, NumPy's cosines, ways between nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape import Objective, scattering
from landscape.attacks import PGD, LinfBall
from landscape.errors import LandscapeError, UsageError
from landscape.geometry.directions import random_direction
from landscape.results import Result, read_result
from tests.problems import CLASSES, assert_untouched, dense_hessian, examples, fill, mlp, resnet, state_of

RADII = (0.05, 0.2)


def measured(net: nn.Module, n: int = 24, *, eps: float = 0.05, **settings: Any) -> Result:
    data = settings.pop("data", None) or examples(n, (1, 2, 3))
    positions = {} if {"rises", "to"} & set(settings) else {"radii": RADII}
    return scattering(net, data, **{"eps": eps, "n_examples": "all", "single": 0, **positions, **settings})


def point_of(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


class OneDimension(nn.Module):
    """The paper's fig. 1: the output is theta x, for images of a single pixel x; its loss is log(1 + exp(theta x))."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta * x.flatten(1)


def softplus(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.softplus(outputs[:, 0])


def squares(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - nn.functional.one_hot(labels, CLASSES)).square().sum(dim=1) / 2


@pytest.mark.parametrize("h", [1e-6, 0.1])
def test_across_the_kink_of_the_one_dimensional_loss(h: float) -> None:
    """From theta = -h to h the perturbation turns round, and the gradient changes by the closed form: eps as h -> 0."""
    x, eps = 0.5, 0.3
    data = (torch.full((3, 1, 1, 1), x, dtype=torch.float64), torch.zeros(3, dtype=torch.long))
    result = measured(
        OneDimension(-h), data=data, eps=eps, loss=softplus, radii=(2.0,), direction=torch.ones(1, dtype=torch.float64),
        single=2,
    )  # fmt: skip
    for name in ("perturbation_cosine", "sign_cosine", "box_cosine", "zero_start_cosine"):
        np.testing.assert_allclose(result.arrays[name], -1, rtol=1e-12)

    def slope(theta: float, shift: float) -> float:
        return (x + shift) / (1 + np.exp(-theta * (x + shift)))

    start, held, moved, end = slope(-h, -eps), slope(h, -eps), slope(-h, eps), slope(h, eps)
    expected = {
        "gradient_norm": end,
        "gradient_cosine": 1,
        "gradient_difference": end - start,
        "gradient_difference_frozen": held - start,
        "gradient_difference_adversary": end - held,
        "gradient_difference_inner": (held - start) * (end - held),
        "adversary_first_frozen": end - moved,
        "adversary_first_adversary": moved - start,
        "adversary_first_inner": (end - moved) * (moved - start),
        "adversary_share": ((end - held) + (moved - start)) / 2 / (end - start),
        "perturbation_distance": 2 * eps,
        "loss": np.log1p(np.exp(h * (x + eps))),
        "loss_frozen": np.log1p(np.exp(h * (x - eps))),
    }
    for name, value in expected.items():
        assert result.arrays[name][0] == pytest.approx(value, rel=1e-9), name
        if f"single/{name}" in result.arrays:
            np.testing.assert_allclose(result.arrays[f"single/{name}"][0], value, rtol=1e-9)
    if h < 1e-3:
        assert result.gradient_difference[0] == pytest.approx(eps, rel=1e-5)  # the jump of paper.md 1.3, all of it
        assert result.adversary_share[0] == pytest.approx(1, rel=1e-5)  # is the adversary's


def test_of_a_quadratic_loss_the_frozen_part_is_the_hessian_times_the_step() -> None:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(6, CLASSES))).double()
    result = measured(net, loss=squares, direction="random")
    attack = PGD(LinfBall(0.05))
    frozen = Objective(net, *examples(24, (1, 2, 3)), attack=attack, loss=squares).freeze()
    w0 = frozen.w0
    direction = random_direction(frozen.space, w0, 0, seed=0)
    step = w0.norm() * direction / direction.norm()
    names, shapes = frozen.space.names, frozen.space.shapes

    def value(w: Tensor) -> Tensor:
        pieces = w.split([shape.numel() for shape in shapes])
        weights = {name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        outputs = torch.func.functional_call(net, weights, (frozen.images,))
        return squares(outputs, frozen.labels).mean()

    hessian = torch.func.hessian(value)(w0)  # the analysis holds images in float32
    for r, radius in enumerate(RADII):
        assert result.gradient_difference_frozen[r] == pytest.approx(float((radius * hessian @ step).norm()), rel=1e-7)
    np.testing.assert_allclose(result.direction, (direction / direction.norm()).float(), rtol=1e-6)


def test_the_perturbations_of_a_linear_model_turn_with_its_signs() -> None:
    """Of two classes the adversary's corner is the sign of w_1 - w_0, whatever the start: NumPy knows every cosine."""
    eps, rng = 0.2, np.random.default_rng(3)
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))).double()
    images, labels = rng.random((30, 1, 3, 4)), rng.integers(2, size=30)
    data = (torch.from_numpy(images), torch.from_numpy(labels))
    direction = torch.from_numpy(rng.standard_normal(24))
    result = measured(net, data=data, eps=eps, direction=direction, radii=(0.3, 2.0), uphill=False)
    w0 = point_of(net).numpy()
    step = np.linalg.norm(w0) * direction.numpy() / np.linalg.norm(direction.numpy())

    def shifted(w: np.ndarray) -> np.ndarray:
        rows = w.reshape(2, 12)
        towards = np.where(labels[:, None] == 0, rows[1] - rows[0], rows[0] - rows[1])
        return np.clip(images.reshape(30, 12) + eps * np.sign(towards), 0, 1)

    def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    flat = images.reshape(30, 12)
    low, high = np.clip(flat - eps, 0, 1), np.clip(flat + eps, 0, 1)
    start = shifted(w0)
    for r, radius in enumerate((0.3, 2.0)):
        there = shifted(w0 + radius * step)
        boxed = [(side - (low + high) / 2) / ((high - low) / 2) for side in (start, there)]
        each = {
            "perturbation_cosine": cosines(start - flat, there - flat),
            "sign_cosine": cosines(np.sign(start - flat), np.sign(there - flat)),
            "box_cosine": cosines(*boxed),
        }
        each["zero_start_box_cosine"] = each["box_cosine"]
        for name, values in each.items():
            np.testing.assert_allclose(result.arrays[name][r], values.mean(), rtol=1e-9)
            np.testing.assert_allclose(
                result.arrays[f"{name}_se"][r], values.std(ddof=1) / np.sqrt(30), rtol=1e-6, atol=1e-15
            )
            np.testing.assert_allclose(result.arrays[f"examples/{name}"][r], values, rtol=1e-6)
    assert result.box_cosine[1] < 0.9  # some signs have turned
    np.testing.assert_allclose([result.restart_cosine, result.zero_sign_cosine], 1, rtol=1e-12)


def test_nothing_turns_at_no_distance_and_the_net_is_left_as_it_was() -> None:
    net = mlp((6,), activation="relu")
    before = state_of(net)
    result = measured(net, radii=(0.0, 0.1), single=4)
    assert_untouched(net, before)
    for name in ("perturbation_cosine", "sign_cosine", "box_cosine", "zero_start_cosine", "gradient_cosine"):
        assert result.arrays[name][0] == pytest.approx(1, abs=1e-12)
        assert result.arrays[name][1] < 1
    for name in ("gradient_difference", "gradient_difference_adversary", "adversary_first_frozen"):
        assert result.arrays[name][0] == 0
        assert result.arrays[name][1] > 0
    assert np.isnan(result.adversary_share[0])
    assert result.loss[0] == result.loss_frozen[0] == pytest.approx(result.attrs["centre_loss"], rel=1e-12)
    assert result.gradient_norm[0] == pytest.approx(result.attrs["centre_gradient_norm"], rel=1e-9)


def test_the_parts_are_the_gradients_of_the_attacked_objective() -> None:
    net = mlp((5,))
    result = measured(net)
    attacked = Objective(net, *examples(24, (1, 2, 3)), attack=PGD(LinfBall(0.05)))
    w0 = attacked.w0
    step = w0.norm() * torch.from_numpy(result.direction).double()
    start = attacked.gradient(w0)
    for r, radius in enumerate(RADII):
        w = w0 + radius * step
        end, held = attacked.gradient(w), attacked.freeze().gradient(w)
        moved = attacked.freeze(w).gradient(w0)
        norms = {
            "gradient_difference": end - start,
            "gradient_difference_frozen": held - start,
            "gradient_difference_adversary": end - held,
            "adversary_first_adversary": moved - start,
            "adversary_first_frozen": end - moved,
        }
        for name, value in norms.items():
            assert result.arrays[name][r] == pytest.approx(float(value.norm()), rel=1e-3), name  # a float32 direction
        assert result.loss[r] == pytest.approx(attacked.value(w), rel=1e-6)


def test_single_examples_are_the_data_of_one() -> None:
    net, (images, labels) = mlp((5,)), examples(24, (1, 2, 3))
    result = measured(net, single=3)
    assert result.single_index.tolist() == [0, 8, 16]
    attacked = Objective(net, images[8:9], labels[8:9], attack=PGD(LinfBall(0.05)), indices=torch.tensor([8]))
    w0 = attacked.w0
    w = w0 + 0.2 * w0.norm() * torch.from_numpy(result.direction).double()
    change = attacked.gradient(w) - attacked.gradient(w0)
    assert result.arrays["single/gradient_difference"][1, 1] == pytest.approx(float(change.norm()), rel=1e-3)


def test_the_first_eigenvector_is_walked_uphill() -> None:
    net = mlp((5,))
    result = measured(net, eps=0.0, direction="top1")
    objective = Objective(net, *examples(24, (1, 2, 3)))
    values, vectors = torch.linalg.eigh(dense_hessian(objective))
    assert abs(float(vectors[:, -1] @ torch.from_numpy(result.direction).double())) == pytest.approx(1, abs=1e-4)
    assert float(objective.gradient() @ torch.from_numpy(result.direction).double()) > 0
    assert values[-1] > 0
    assert (result.attrs["along"], result.attrs["direction_name"]) == ("top1", "eigenvector 1")


def test_rises_are_met() -> None:
    result = measured(mlp((5,)), rises=(0.02, 0.1))
    np.testing.assert_allclose(result.loss - result.attrs["centre_loss"], [0.02, 0.1], rtol=0.021)
    assert (result.attrs["positions"], result.position.tolist()) == ("rise", [0.02, 0.1])
    assert np.all(np.diff(result.radius) > 0)
    with pytest.raises(LandscapeError, match="the loss rises by 0 nats, and 0.1 were asked for"):
        dead = mlp((5,))
        with torch.no_grad():
            for parameter in list(dead.parameters())[2:]:
                parameter.zero_()  # the output layer: what lies below moves nothing
        direction = torch.zeros(len(point_of(dead)), dtype=torch.float64)
        direction[0] = 1
        measured(dead, rises=(0.1,), direction=direction)


def test_the_way_to_another_net_ends_there_with_its_buffers() -> None:
    one, other = resnet(seed=0), resnet(seed=1)
    data = examples(12)
    before = state_of(one), state_of(other)
    result = measured(one, to=other, data=data, radii=(0.5, 1.0))
    for net, state in zip((one, other), before, strict=True):
        assert_untouched(net, state)
    attacked = Objective(other, *data, attack=PGD(LinfBall(0.05)))
    assert result.loss[1] == pytest.approx(attacked.value(), rel=1e-6)
    assert result.gradient_norm[1] == pytest.approx(float(attacked.gradient().norm()), rel=1e-6)
    length = float((point_of(other) - point_of(one)).norm() / point_of(one).norm())
    np.testing.assert_allclose(result.radius, [0.5 * length, length], rtol=1e-9)
    assert (result.attrs["along"], result.attrs["positions"]) == ("to", "share")
    assert result.attrs["batchnorm"] == "interpolated"


def test_without_an_attack_there_is_no_perturbation_and_no_part_of_an_adversary(tmp_path: Path) -> None:
    result = measured(mlp((5,)), eps=0.0)
    assert np.isnan(result.perturbation_cosine).all()
    assert np.isnan(result.restart_cosine)
    assert (result.gradient_difference_adversary == 0).all()
    np.testing.assert_array_equal(result.gradient_difference, result.gradient_difference_frozen)
    assert result.attrs["adversary"] == "none"
    again = read_result(result.save(tmp_path / "s.h5"))
    np.testing.assert_equal(again.attrs, result.attrs)
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    assert result.to_xarray().sizes["radius"] == 2


def test_in_the_l2_ball_there_is_no_box() -> None:
    result = measured(mlp((5,)), norm="l2", eps=0.3)
    assert np.isnan(result.box_cosine).all()
    assert np.isfinite(result.perturbation_cosine).all()
    assert result.perturbation_distance[0] < 0.6


class Stops(Exception):
    """A run that is killed."""


class Kept:
    """A snapshot in memory that ends the run after some points."""

    def __init__(self, after: int) -> None:
        self.kept: dict[str, np.ndarray] | None = None
        self.left = after

    def load(self) -> dict[str, np.ndarray] | None:
        return self.kept

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self.kept = {name: np.array(value) for name, value in state().items()}
        self.left -= 1
        if not self.left:
            raise Stops


@pytest.mark.parametrize("after", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(after: int) -> None:
    net = mlp((5,))
    whole = measured(net, rises=(0.02, 0.1), single=2)
    snapshot = Kept(after)
    with pytest.raises(Stops):
        measured(net, rises=(0.02, 0.1), single=2, snapshot=snapshot)
    snapshot.left = -1
    resumed = measured(net, rises=(0.02, 0.1), single=2, snapshot=snapshot)
    assert set(whole.arrays) == set(resumed.arrays)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": "top2"}, "direction 'top2' is unknown; did you mean top1"),
        ({"direction": torch.zeros(53, dtype=torch.float64)}, "a given direction is zero or not finite"),
        ({"direction": torch.ones(2)}, r"a direction of shape \(2,\) came; wanted \(53,\)"),
        ({"radii": ()}, "radii is empty; give one or more"),
        ({"radii": (-0.1,)}, "radii = -0.1; wanted a finite positive number"),
        ({"rises": (0.1,), "radii": (0.1,)}, "rises came together with radii"),
        ({"rises": (0.0,)}, "rises = 0.0; wanted a finite positive number"),
        ({"single": -1}, "single = -1; wanted a whole number, 0 or more"),
        ({"eps": "4"}, "did you mean 4/255"),
        ({"to": mlp((5,))}, "both nets hold the same weights"),
        ({"to": mlp((4,))}, "the way leads to a net of another shape"),
        ({"to": mlp((5,), seed=1), "radii": (2.0,)}, "shares of it, and 2 came; give at most 1"),
        ({"to": mlp((5,), seed=1), "direction": "top1"}, "a direction and another net came"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        measured(mlp((5,)), **settings)


def test_weights_of_zero_and_losses_that_overflow_are_said() -> None:
    net = mlp((5,), activation="relu")
    with pytest.raises(LandscapeError, match=r"at a distance of .* the loss is not finite on"):
        measured(net, radii=(1e200,))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    with pytest.raises(UsageError, match="the net's weights are all zero"):
        measured(net)
