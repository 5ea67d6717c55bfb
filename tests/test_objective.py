"""The objective: what plain autograd says, averaged by example, whatever the batches; frozen and re-attacked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad

from landscape.attacks import PGD, LinfBall
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.streams import example_streams
from tests.problems import (
    Tied,
    WithUnused,
    assert_untouched,
    dense_hessian,
    examples,
    lenet,
    mean_loss,
    mlp,
    resnet,
    state_of,
)

ATTACK = PGD(LinfBall(0.1), steps=3)


def point_near(objective: Objective, *, seed: int = 1) -> Tensor:
    w = objective.w0
    return w + 0.05 * torch.randn(w.shape, generator=torch.Generator().manual_seed(seed), dtype=w.dtype)


@pytest.mark.parametrize("make", [lenet, resnet], ids=["lenet", "resnet"])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_value_and_gradient_are_those_of_plain_autograd(make: type[nn.Module], batch_size: int) -> None:
    # 10 examples in batches of 4: a mean of batch means would weigh the last two twice.
    objective = Objective(make(), *examples(10), batch_size=batch_size)
    for w in (objective.w0, point_near(objective)):
        plain = mean_loss(objective)
        assert objective.value(w) == pytest.approx(float(plain(w)), rel=1e-12)
        expected = grad(plain)(w)
        assert (objective.gradient(w) - expected).norm() <= 1e-12 * expected.norm()


def test_no_point_means_the_own_weights() -> None:
    objective = Objective(mlp(), *examples(5, (1, 2, 3)))
    assert objective.value() == objective.value(objective.w0)
    assert torch.equal(objective.gradient(), objective.gradient(objective.w0))
    assert objective.n == 5 and objective.n_parameters == len(objective.w0) == 6 * 8 + 8 + 8 * 3 + 3


def test_losses_and_outputs_come_in_the_order_of_the_examples() -> None:
    net, (images, labels) = lenet(), examples(7)
    outputs, losses = Objective(net, images, labels, batch_size=3).outputs()
    with torch.no_grad():
        expected = net.eval()(images)
    assert torch.allclose(outputs, expected, rtol=1e-12)
    assert torch.allclose(losses, nn.functional.cross_entropy(expected, labels, reduction="none"), rtol=1e-12)


def test_bytes_become_pixels_in_the_unit_interval() -> None:
    net, (_, labels) = mlp(), examples(6, (1, 2, 3))
    stored = torch.randint(256, (6, 1, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert Objective(net, stored, labels).value() == pytest.approx(
        Objective(net, stored.double() / 255, labels).value(), rel=1e-14
    )


def test_the_attack_is_made_anew_at_every_point() -> None:
    net, (images, labels) = lenet(), examples(9)
    objective = Objective(net, images, labels, attack=ATTACK, batch_size=4, seed=5)
    w = point_near(objective)
    with torch.no_grad():
        nn.utils.vector_to_parameters(w, net.parameters())

    def noise(restart: int) -> list:  # type: ignore[type-arg]
        return example_streams(5, f"attack/restart{restart}", range(9))

    at_w = Objective(net, ATTACK(net, images, labels, noise=noise), labels)
    assert objective.value(w) == pytest.approx(at_w.value(), rel=1e-12)
    assert torch.allclose(objective.gradient(w), at_w.gradient(), rtol=1e-10, atol=1e-14)
    assert objective.value(w) > Objective(net, images, labels).value()


@pytest.mark.parametrize("batch_size", [2, 9])
def test_frozen_equals_attacked_at_the_same_weights_and_stays_there(batch_size: int) -> None:
    objective = Objective(lenet(), *examples(9), attack=ATTACK, batch_size=batch_size)
    w = point_near(objective)
    frozen, elsewhere = objective.freeze(), objective.freeze(w)
    assert frozen.attack is None and frozen.freeze() is frozen
    assert frozen.value() == pytest.approx(objective.value(), rel=1e-12)
    assert elsewhere.value(w) == pytest.approx(objective.value(w), rel=1e-12)
    assert torch.allclose(elsewhere.gradient(w), objective.gradient(w), rtol=1e-10, atol=1e-14)
    # Moving the weights leaves a frozen adversary behind, a weaker one than that of the place itself.
    assert frozen.value(w) < objective.value(w)
    whole = Objective(objective.model, objective.images, objective.labels, attack=ATTACK).freeze()
    assert torch.allclose(frozen.images, whole.images, atol=1e-12)


def test_the_start_belongs_to_the_index_in_the_data_set() -> None:
    net, (images, labels) = lenet(), examples(8)
    part = torch.tensor([6, 1, 4])
    whole = Objective(net, images, labels, attack=ATTACK).freeze().images
    some = Objective(net, images[part], labels[part], attack=ATTACK, indices=part).freeze().images
    assert torch.allclose(some, whole[part], atol=1e-12)


def test_freezing_reports_its_progress() -> None:
    seen: list[tuple[int, int]] = []
    Objective(mlp(), *examples(5, (1, 2, 3)), attack=ATTACK, batch_size=2).freeze(
        progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_an_attack_without_budget_is_none() -> None:
    objective = Objective(mlp(), *examples(5, (1, 2, 3)), attack=ATTACK.with_eps(0.0))
    assert objective.attack is None and objective.freeze() is objective


@pytest.mark.parametrize("attack", [None, ATTACK], ids=["clean", "attacked"])
def test_products_are_those_of_the_dense_hessian(attack: PGD | None) -> None:
    objective = Objective(mlp(), *examples(7, (1, 2, 3)), attack=attack, batch_size=3)
    w = point_near(objective)
    H = dense_hessian(objective.freeze(w), w)
    v = torch.randn(len(w), 2, dtype=w.dtype, generator=torch.Generator().manual_seed(0))
    assert (objective.product(w, v) - H @ v).norm() <= 1e-12 * (H @ v).norm()
    assert torch.allclose(objective.product(w, v[:, 0]), H @ v[:, 0], rtol=1e-10, atol=1e-14)


def test_parameters_that_the_loss_does_not_use_have_no_slope() -> None:
    objective = Objective(WithUnused().double(), *examples(5, (6,)))
    gradient = objective.gradient()
    assert torch.equal(gradient[:4], torch.zeros(4, dtype=torch.float64)) and gradient[4:].norm() > 0


def test_tied_and_frozen_parameters() -> None:
    net = Tied().double()
    net.head.requires_grad_(False)
    objective = Objective(net, *examples(5, (6,)))
    expected = grad(mean_loss(objective))(objective.w0)
    assert objective.n_parameters == 36 + 6 + 6
    assert torch.allclose(objective.gradient(), expected, rtol=1e-12)


def test_the_model_is_borrowed() -> None:
    net = resnet().train()
    net.layer1.eval()
    before = state_of(net)
    objective = Objective(net, *examples(5), attack=ATTACK)
    objective.value(), objective.gradient(), objective.freeze().product(objective.w0, objective.w0)
    objective.value(point_near(objective))
    assert_untouched(net, before)


def test_examples_that_do_not_fit() -> None:
    net, (images, labels) = mlp(), examples(4, (1, 2, 3))
    with pytest.raises(UsageError, match="4 images and 3 labels"):
        Objective(net, images, labels[:3])
    with pytest.raises(UsageError, match="at least one"):
        Objective(net, images[:0], labels[:0])
    with pytest.raises(UsageError, match="batch_size = 0"):
        Objective(net, images, labels, batch_size=0)
    with pytest.raises(UsageError, match=r"wanted \(83,\)"):
        Objective(net, images, labels).value(torch.zeros(82))
    with pytest.raises(UsageError, match="as many classes"):
        Objective(net, images, labels + 3).value()


def test_a_loss_per_example_is_demanded() -> None:
    objective = Objective(mlp(), *examples(4, (1, 2, 3)), loss=nn.functional.cross_entropy)
    with pytest.raises(UsageError, match="one value per example"):
        objective.gradient()


@pytest.mark.parametrize("params", [None, "fc1.*"])
def test_a_weight_decay_is_half_of_it_times_the_squared_norm(params: str | None) -> None:
    net, data = mlp(), examples(5, (1, 2, 3))
    plain, decayed = (Objective(net, *data, params=params, weight_decay=decay) for decay in (0.0, 0.3))
    w = plain.w0 + 0.1
    # Held weights count in the value, where they are, and move nothing.
    held = sum(float(value.square().sum()) for value in plain.space.held(net).values())
    assert decayed.penalty(w) == pytest.approx(0.15 * (float(w @ w) + held), rel=1e-12)
    assert decayed.value(w) == pytest.approx(plain.value(w) + decayed.penalty(w), rel=1e-12)
    assert torch.equal(decayed.losses(w), plain.losses(w))
    assert torch.allclose(decayed.gradient(w), plain.gradient(w) + 0.3 * w, rtol=1e-12)
    v = torch.linspace(-1, 1, len(w), dtype=w.dtype)
    assert torch.allclose(decayed.product(w, v), plain.product(w, v) + 0.3 * v, rtol=1e-12)


def test_a_weight_decay_survives_freezing_and_counts_a_tied_weight_once() -> None:
    net = Tied().double()
    objective = Objective(net, *examples(4, (1, 2, 3)), attack=ATTACK, weight_decay=0.1)
    assert objective.freeze().weight_decay == 0.1
    assert objective.penalty() == pytest.approx(0.05 * sum(float(p.detach().square().sum()) for p in net.parameters()))


@pytest.mark.parametrize("decay", [-1e-3, float("nan"), float("inf")])
def test_weight_decays_that_cannot_be_meant(decay: float) -> None:
    with pytest.raises(UsageError, match="wanted 0 or more"):
        Objective(mlp(), *examples(2, (1, 2, 3)), weight_decay=decay)
