"""The evidence: curvature by example and its Gauss-Newton part, against each example's own dense matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacfwd

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, curvature_by_example, directional_curvature, standard_error
from landscape.curvature import evidence as evidence_module
from landscape.objective import Objective
from tests.problems import (
    Tied,
    WithUnused,
    assert_untouched,
    dense_hessian,
    examples,
    fill,
    lenet,
    mlp,
    resnet,
    state_of,
)


def direction(objective: Objective, *, seed: int = 0) -> Tensor:
    v = torch.randn(objective.n_parameters, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return v / v.norm()


def gauss_newton(objective: Objective, w: Tensor, i: int) -> Tensor:
    """Return J'(diag p - p p')J (P, P) of one example: cross-entropy's second derivative in the logits is no secret."""
    image = objective.images[i : i + 1]
    net = objective.model.eval()

    def outputs(w: Tensor) -> Tensor:
        return functional_call(net, dict(objective.space.named(w)), (image,))[0]

    J = jacfwd(outputs)(w)
    p = outputs(w).softmax(0)
    return J.T @ (torch.diag(p) - torch.outer(p, p)) @ J


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_each_example_s_own_dense_matrices(activation: str) -> None:
    objective = Objective(fill(mlp(activation=activation)), *examples(7, (1, 2, 3)), batch_size=3)
    w = objective.w0 + 0.1 * direction(objective, seed=5)
    v = 3 * direction(objective)  # of any length
    curvature, output_term, _ = directional_curvature(objective, w, v)
    for i in range(7):
        alone = Objective(objective.model, objective.images[i : i + 1], objective.labels[i : i + 1])
        assert float(curvature[i]) == pytest.approx(float(v @ dense_hessian(alone, w) @ v), rel=1e-10, abs=1e-13)
        assert float(output_term[i]) == pytest.approx(float(v @ gauss_newton(objective, w, i) @ v), rel=1e-10)
    assert (output_term >= 0).all() and not torch.allclose(curvature, output_term)


@pytest.mark.parametrize("make", [lenet, resnet], ids=["lenet", "resnet"])
def test_the_mean_is_that_of_the_hessian(make: Callable[[], nn.Module]) -> None:
    attack = PGD(LinfBall(0.1), steps=2)
    frozen = Objective(fill(make()), *examples(9), attack=attack, batch_size=4).freeze()
    v = direction(frozen)
    curvature, *_ = directional_curvature(frozen, frozen.w0, v)
    expected = float(v @ (HessianOperator(frozen) @ v))
    assert curvature.shape == (9,)
    assert float(curvature.mean()) == pytest.approx(expected, rel=1e-10, abs=1e-12 * float(curvature.abs().max()))


@pytest.mark.parametrize("make", [lenet, resnet, mlp, Tied, WithUnused], ids=lambda make: make.__name__)
def test_forward_and_reverse_mode_agree(make: Callable[[], nn.Module]) -> None:
    shape = (1, 8, 8) if make in (lenet, resnet) else (1, 2, 3)
    objective = Objective(fill(make().double()), *examples(5, shape))
    w, v = objective.w0, direction(objective)
    objective.model.eval()
    forward = evidence_module._forward_mode(objective, w, v, objective.images)
    reverse = evidence_module._reverse_mode(objective, w, v, objective.images)
    for ours, other in zip(forward, reverse, strict=True):
        assert torch.allclose(ours, other, rtol=1e-10, atol=1e-13) and ours.shape == other.shape


class Cube(torch.autograd.Function):
    """x cubed, differentiable twice backward and not at all forward."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Cubic(nn.Module):
    def __init__(self, cube: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 3)
        self.cube = cube

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.cube(self.first(x.flatten(1))))


def test_a_net_without_forward_derivatives_takes_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    custom, plain = fill(Cubic(Cube.apply).double()), fill(Cubic(lambda x: x**3).double())
    data = examples(8, (1, 2, 3))
    calls: list[int] = []
    reverse = evidence_module._reverse_mode
    monkeypatch.setattr(evidence_module, "_reverse_mode", lambda *args: calls.append(1) or reverse(*args))
    found = [
        directional_curvature(objective, objective.w0, direction(objective))
        for objective in (Objective(net, *data, batch_size=3) for net in (plain, custom))
    ]
    for ours, other in zip(*found, strict=True):
        assert torch.allclose(ours, other, rtol=1e-10)
    assert len(calls) == 1 + 3  # either net is tried once; 8 examples in batches of 6: those of the custom net alone


def test_other_errors_are_not_taken_for_a_missing_derivative() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    objective = Objective(Broken(), *examples(2, (1, 2, 3)))
    with pytest.raises(RuntimeError, match="broken"):
        directional_curvature(objective, objective.w0, objective.w0)


@pytest.mark.parametrize("cube", [Cube.apply, lambda x: x**3], ids=["reverse", "forward"])
def test_a_loss_linear_in_the_outputs_has_no_gauss_newton_part(cube: Callable[[Tensor], Tensor]) -> None:
    objective = Objective(
        fill(Cubic(cube).double()), *examples(5, (1, 2, 3)), loss=lambda outputs, labels: outputs[:, 0]
    )
    v = direction(objective)
    curvature, output_term, _ = directional_curvature(objective, objective.w0, v)
    assert torch.equal(output_term, torch.zeros_like(output_term))
    assert float(curvature.mean()) == pytest.approx(float(v @ (HessianOperator(objective) @ v)), rel=1e-10)


def test_a_linear_net_is_all_gauss_newton() -> None:
    objective = Objective(fill(WithUnused().double()), *examples(6, (6,)))
    curvature, output_term, _ = directional_curvature(objective, objective.w0, direction(objective))
    assert torch.allclose(curvature, output_term, rtol=1e-10)


def test_the_model_is_borrowed() -> None:
    net = resnet().train()
    objective = Objective(net, *examples(4))
    before = state_of(net)
    directional_curvature(objective, objective.w0, direction(objective))
    assert_untouched(net, before)


def test_a_weight_decay_is_in_every_example_and_in_no_gauss_newton_part() -> None:
    net, data = fill(mlp()), examples(5, (1, 2, 3))
    plain, decayed = (Objective(net, *data, weight_decay=decay) for decay in (0.0, 0.3))
    v = 2 * direction(plain)
    (curvature, output_term, slope), (with_decay, same, with_pull) = (
        directional_curvature(objective, objective.w0, v) for objective in (plain, decayed)
    )
    assert torch.allclose(with_decay, curvature + 0.3 * 4, rtol=1e-12) and torch.equal(output_term, same)
    assert torch.allclose(with_pull, slope + 0.3 * (plain.w0 @ v), rtol=1e-12)


def test_a_net_with_one_number_an_example() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(outputs, labels.double(), reduction="none")

    objective = Objective(net, torch.rand(7, 4, dtype=torch.float64), torch.arange(7) % 2, loss=loss)
    v = torch.randn(objective.n_parameters, dtype=torch.float64)
    curvature, gauss_newton, _ = directional_curvature(objective, objective.w0, v)
    assert curvature.shape == gauss_newton.shape == (7,)
    assert curvature.mean().item() == pytest.approx((v @ objective.product(objective.w0, v)).item(), rel=1e-10)


def test_the_standard_error_covers_the_population_s_value_along_a_held_vector() -> None:
    everyone = Objective(fill(mlp()), *examples(600, (1, 2, 3)))
    v = direction(everyone)
    terms = curvature_by_example(everyone, everyone.w0, v[None]).curvature[0]
    expected = float(v @ (HessianOperator(everyone) @ v))
    assert terms.mean() == pytest.approx(expected, rel=1e-10)
    rng = np.random.default_rng(0)
    samples = terms[rng.integers(0, 600, (800, 60))]  # 800 samples of 60 examples, with replacement
    held = np.abs(samples.mean(axis=1) - expected) <= 1.96 * standard_error(samples)
    # 95 %, with five binomial deviations of 0.8 points; Student's quantile would be 2.00.
    assert 0.91 <= held.mean() <= 0.99
