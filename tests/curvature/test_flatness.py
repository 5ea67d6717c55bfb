"""The worst shift of a ball around the weights: against closed forms, SciPy's maxima, and rescaled nets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import nn

from landscape.curvature.flatness import RelativeBall, worst_shift
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.params import ParameterSpace
from tests.problems import assert_untouched, examples, mlp, state_of


def linear(inputs: int = 4, classes: int = 3, *, bias: bool = False, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes, bias=bias)).double()


def start(objective: Objective, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(objective.n_parameters, generator=generator, dtype=torch.float64)


def test_the_farthest_shift_is_that_of_each_layer_by_itself() -> None:
    net = mlp((5,))
    space = ParameterSpace(net)
    w, g = space.point(net), torch.randn(space.n_parameters, dtype=torch.float64)
    shift = RelativeBall(space, w, 0.1).farthest(g)
    for name, d, weight, slope in zip(space.names, *map(space.split, (shift, w, g)), strict=True):
        if name.endswith("bias"):
            assert not d.any()
        else:
            assert float(d.norm()) == pytest.approx(0.1 * float(weight.norm()))
            assert float((d * slope).sum()) == pytest.approx(0.1 * float(weight.norm() * slope.norm()))


def test_one_example_of_two_classes_has_its_margin_moved_by_the_radius() -> None:
    """The loss is softplus(-m), and the margin m = (w_y - w_k)'x falls by at most r sqrt(2) ||x|| for ||W|| <= r."""
    net = linear(classes=2)
    x = torch.tensor([[[[0.2, 0.9], [0.4, 0.6]]]], dtype=torch.float64)
    objective = Objective(net, x, torch.tensor([0]))
    w = objective.w0
    radius = 0.3
    worst = worst_shift(objective, RelativeBall(objective.space, w, radius), starts=(objective.gradient(w),))
    weights = objective.space.split(w)[0]
    margin = float((weights[0] - weights[1]) @ x.flatten())
    reach = radius * float(weights.norm()) * np.sqrt(2) * float(x.norm())
    assert worst.rise == pytest.approx(np.logaddexp(0, reach - margin) - np.logaddexp(0, -margin), rel=1e-9)
    assert objective.value(w + worst.shift) - objective.value(w) == pytest.approx(worst.rise, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_convex_maximum_is_the_best_that_scipy_finds(seed: int) -> None:
    net = linear(seed=seed)
    images, labels = examples(12, (1, 2, 2), seed=seed)
    objective = Objective(net, images, labels)
    w = objective.w0.numpy()
    reach = 0.4 * np.linalg.norm(w)
    x, y = images.flatten(1).numpy(), labels.numpy()

    def loss(d: np.ndarray) -> float:
        logits = x @ (w + d).reshape(3, 4).T
        shifted = logits - logits.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(12), y]))

    rng = np.random.default_rng(seed)
    inside = {"type": "ineq", "fun": lambda d: reach**2 - d @ d}
    found = max(
        -minimize(lambda d: -loss(d), rng.normal(size=12) * reach / 4, constraints=inside, method="SLSQP").fun
        for _ in range(12)
    )
    ball = RelativeBall(objective.space, objective.w0, 0.4)
    starts = (objective.gradient(), *(start(objective, k) for k in range(3)))
    worst = worst_shift(objective, ball, starts=starts, steps=200)
    assert float(worst.shift.norm()) == pytest.approx(reach)
    assert worst.rise == pytest.approx(found - loss(np.zeros(12)), rel=1e-3)


def test_no_random_shift_of_the_ball_is_worse() -> None:
    net = mlp((6, 5), activation="relu")
    images, labels = examples(40, (1, 2, 3))
    objective = Objective(net, images, labels, batch_size=16)
    w = objective.w0
    ball = RelativeBall(objective.space, w, 0.2)
    before = state_of(net)
    worst = worst_shift(objective, ball, starts=(objective.gradient(w), start(objective)))
    assert_untouched(net, before)
    centre = objective.value(w)
    tried = [objective.value(w + ball.farthest(start(objective, seed))) - centre for seed in range(60)]
    assert worst.rise > max(tried)
    assert worst.rise == max(worst.rises)
    assert worst.rise >= 0.999 * (objective.value(w + ball.farthest(objective.gradient(w))) - centre)


def test_layers_scaled_against_each_other_are_the_same_net() -> None:
    """What lambda_1 sees and a relative reading must not: alpha in one layer of ReLUs, 1/alpha in the next."""
    net = mlp((8,), activation="relu")
    images, labels = examples(30, (1, 2, 3))
    rises = []
    for alpha in (1.0, 10.0):
        with torch.no_grad():
            first, second = (module for module in net.modules() if isinstance(module, nn.Linear))
            first.weight *= alpha
            first.bias *= alpha
            second.weight /= alpha
        objective = Objective(net, images, labels)
        worst = worst_shift(
            objective, RelativeBall(objective.space, objective.w0, 0.1), starts=(objective.gradient(),), steps=50
        )
        rises.append(worst.rise)
    assert rises[1] == pytest.approx(rises[0], rel=1e-9)


@pytest.mark.parametrize(("radius", "message"), [(0.0, "positive share"), (0.1, "no relative radius")])
def test_a_ball_that_holds_nothing_is_refused(radius: float, message: str) -> None:
    net = linear(bias=True)
    space = ParameterSpace(net)
    w = torch.zeros(space.n_parameters) if radius else space.point(net)
    with pytest.raises(UsageError, match=message):
        RelativeBall(space, w, radius)


def test_a_loss_that_does_not_move_has_no_rise() -> None:
    net = linear()
    objective = Objective(net, *examples(5, (1, 2, 2)), loss=lambda outputs, labels: 0 * F.relu(outputs).sum(1))
    worst = worst_shift(
        objective, RelativeBall(objective.space, objective.w0, 0.1), starts=(objective.gradient(), start(objective))
    )
    assert worst.rises == (0.0, 0.0)
