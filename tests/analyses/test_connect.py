"""A curve between nets whose losses are known: at which weights, with which buffers, and the barrier that it meets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import landscape
from landscape.errors import UsageError
from landscape.geometry import BezierCurve, Line
from landscape.params import ParameterSpace
from landscape.training.recipe import Recipe
from tests import problems
from tests.problems import assert_untouched, dense_hessian, mlp, state_of
from tests.surfaces.known import Linear, half_square

SHAPE = (1, 2, 3)
T = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def pair() -> tuple[nn.Module, nn.Module]:
    return mlp(seed=0), mlp(seed=1)


def examples(n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images that single precision holds exactly, as data are stored, and their labels."""
    images, labels = problems.examples(n, SHAPE, seed=seed)
    return images.float().double(), labels


def ends(one: nn.Module, other: nn.Module) -> Tensor:
    space = ParameterSpace(one)
    return torch.stack([space.point(one), space.point(other)])


def mean_loss(model: nn.Module, w: Tensor, images: Tensor, labels: Tensor) -> float:
    outputs = functional_call(model.eval(), dict(ParameterSpace(model).named(w)), (images,))
    return float(F.cross_entropy(outputs, labels).detach())


def test_every_value_is_that_of_the_net_at_that_place_of_the_curve() -> None:
    one, other = pair()
    images, labels = examples(9)
    inner = 0.3 * torch.randn(2, ends(one, other).shape[1], generator=torch.Generator().manual_seed(3)).double()
    curve = BezierCurve(torch.cat([ends(one, other)[:1], inner, ends(one, other)[1:]]))
    before = state_of(one)
    found = landscape.connect(one, other, (images, labels), eps=0, control_points=inner, points=5)
    assert_untouched(one, before)
    np.testing.assert_array_equal(found.t, T)
    line = Line(ends(one, other))
    for path, values in ((curve, found.loss), (line, found.line_loss)):
        expected = [mean_loss(one, path.at(t), images, labels) for t in T]
        np.testing.assert_allclose(values[0], expected, rtol=1e-10)
    assert found.loss[0, 0] == found.line_loss[0, 0] == found.deployed_loss[0, 0]
    assert found.attrs["curve_length"] == pytest.approx(curve.length)
    assert (found.attrs["curve"], found.attrs["interior_points"], found.attrs["epochs"]) == ("bezier", 2, 0)
    np.testing.assert_allclose(found.loss[0], found.example_loss[0].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.plane_points[0], [0, 0], atol=1e-12)


def test_on_a_quadratic_the_line_s_barrier_is_analytic() -> None:
    """Half the squared error of a linear net along a line is quadratic in t: its barrier is -c / 2 t (1 - t)."""
    one, other = Linear(0).net, Linear(5).net
    images, labels = Linear(0).data
    images = images.float().double()
    found = landscape.connect(one, other, (images, labels), eps=0, curve="line", points=5, loss=half_square)
    w = ends(one, other)
    shift = (w[1] - w[0])[:12].view(3, 4), (w[1] - w[0])[12:]
    curvature = (images.flatten(1) @ shift[0].T + shift[1]).square().sum(dim=1).numpy()  # of each example
    rise = found.loss[0] - (1 - T) * found.loss[0, 0] - T * found.loss[0, -1]
    np.testing.assert_allclose(rise, -curvature.mean() * T * (1 - T) / 2, rtol=1e-9)
    assert found.barrier[0] < 0  # convex: there is none
    assert found.barrier_low[0] <= found.barrier[0] <= found.barrier_high[0]
    np.testing.assert_array_equal(found.loss, found.line_loss)


def test_untrained_the_curve_is_the_line() -> None:
    one, other = pair()
    found = landscape.connect(one, other, examples(8), eps=0.05, epochs=0, points=5, attack="pgd:steps=2")
    np.testing.assert_array_equal(found.eps, [0, 0.05])  # the clean loss is always measured
    np.testing.assert_allclose(found.loss, found.line_loss, rtol=1e-9)
    assert (found.loss[1] >= found.loss[0]).all()
    assert (found.attrs["steps"], found.attrs["epochs"]) == (0, 0)


def test_a_trained_curve_says_its_budget_and_both_splits_are_measured() -> None:
    one, other = pair()
    recipe = Recipe(0.02, epochs=2, batch_size=8, attack="pgd:steps=1")
    data, rest = examples(16), examples(6, seed=9)
    found = landscape.connect(one, other, data, other=rest, eps=0.02, recipe=recipe, points=3, attack="pgd:steps=1")
    assert (found.attrs["epochs"], found.attrs["steps"], found.attrs["interior_points"]) == (2, 4, 3)
    assert found.attrs["curve_training"]["eps"] == 0.02
    assert found.arrays["test/loss"].shape == (2, 3)
    assert found.attrs["other_examples"] == 6
    expected = [mean_loss(one, w, *rest) for w in ends(one, other)]
    np.testing.assert_allclose(found.arrays["test/loss"][0, [0, -1]], expected, rtol=1e-10)
    assert np.isfinite(found.arrays["test/line_barrier"]).all()


def test_gradient_and_curvature_along_the_curve_are_the_dense_ones() -> None:
    one, other = pair()
    images, labels = examples(6)
    found = landscape.connect(
        one, other, (images, labels), eps=0, epochs=0, interior_points=1, points=3, gradient=True, lambda_1=True
    )
    objective = landscape.Objective(one, images, labels)
    for k, t in enumerate(found.t):
        w = Line(ends(one, other)).at(float(t))
        assert found.gradient_norm[k] == pytest.approx(float(objective.gradient(w).norm()), rel=1e-9)
        top = float(torch.linalg.eigvalsh(dense_hessian(objective, w))[-1])
        assert found.lambda_1[k] == pytest.approx(top, rel=1e-3)
        assert found.lambda_1_residual[k] <= 1e-3 * abs(top)


class Normed(nn.Module):
    """A net with BatchNorm whose statistics are its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.norm, self.last = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(torch.randn(value.shape, generator=generator))
            assert self.norm.running_mean is not None and self.norm.running_var is not None
            self.norm.running_mean.copy_(torch.randn(5, generator=generator))
            self.norm.running_var.copy_(0.5 + torch.rand(5, generator=generator))
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x.flatten(1)))))


class Shifted(Normed):
    """The same with a buffer that is no BatchNorm statistic."""

    def __init__(self, seed: int, shift: float) -> None:
        super().__init__(seed)
        self.register_buffer("shift", torch.full((6,), shift).double())

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) - self.shift)


@pytest.mark.parametrize("policy", ["frozen", "interpolated", "clean-recal"])
def test_buffers_that_are_not_batchnorms_are_mixed_so_that_each_end_has_its_own(policy: str) -> None:
    one, other = Shifted(0, 0.0), Shifted(1, 0.5)
    images, labels = examples(12)
    found = landscape.connect(one, other, (images, labels), eps=0, curve="line", points=3, batchnorm=policy)
    own = [float(F.cross_entropy(net(images), labels).detach()) for net in (one, other)]
    np.testing.assert_allclose(found.deployed_loss[0], own, rtol=1e-10)
    # An end as the policy has it: the net itself, but for its BatchNorm statistics.
    statistics: dict[str, Any] = {"norm.running_mean": one.norm.running_mean, "norm.running_var": one.norm.running_var}
    if policy == "interpolated":
        statistics = {}
    elif policy == "clean-recal":
        hidden = other.first(images.flatten(1) - 0.5).detach()
        statistics = {"norm.running_mean": hidden.mean(0), "norm.running_var": hidden.var(0)}
    outputs = functional_call(other, statistics, (images,))
    assert found.loss[0, -1] == pytest.approx(float(F.cross_entropy(outputs, labels).detach()), rel=1e-10)


@pytest.mark.parametrize("policy", ["frozen", "interpolated", "clean-recal"])
def test_batchnorm_statistics_follow_the_policy_and_the_ends_are_shown_as_deployed(policy: str) -> None:
    one, other = Normed(0), Normed(1)
    images, labels = examples(12)
    found = landscape.connect(one, other, (images, labels), eps=0, curve="line", points=3, batchnorm=policy)
    assert found.attrs["batchnorm"] == policy
    np.testing.assert_allclose(
        found.deployed_loss[0],
        [float(F.cross_entropy(net(images), labels).detach()) for net in (one, other)],
        rtol=1e-10,
    )
    w = Line(ends(one, other)).at(0.5)
    buffers: dict[str, Any] = dict(one.named_buffers())
    if policy == "interpolated":
        buffers = {name: (value + dict(other.named_buffers())[name]) / 2 for name, value in buffers.items()}
    elif policy == "clean-recal":
        hidden = images.flatten(1) @ w[:30].view(5, 6).T + w[30:35]
        buffers = {"norm.running_mean": hidden.mean(0), "norm.running_var": hidden.var(0)}
    outputs = functional_call(one, {**ParameterSpace(one).named(w), **buffers}, (images,))
    assert found.loss[0, 1] == pytest.approx(float(F.cross_entropy(outputs, labels).detach()), rel=1e-10)
    if policy == "interpolated":
        np.testing.assert_allclose(found.loss[0, [0, -1]], found.deployed_loss[0], rtol=1e-12)
    if policy == "frozen":
        assert found.loss[0, 0] == found.deployed_loss[0, 0]
        assert found.loss[0, -1] != found.deployed_loss[0, -1]


def test_with_batchnorm_a_curve_is_trained_and_recalibrated_under_attack_at_every_t_by_default() -> None:
    one, other = Normed(0), Normed(1)
    before = state_of(one)
    recipe = Recipe(0.02, epochs=3, batch_size=6, attack="pgd:steps=1", lr=0.01)
    found = landscape.connect(one, other, examples(12), eps=0.02, recipe=recipe, interior_points=1, points=5)
    assert_untouched(one, before)
    assert (found.attrs["batchnorm"], found.attrs["recalibration_examples"]) == ("adv-recal", 12)
    assert (found.loss[:, [0, -1]] != found.deployed_loss).all()  # like is compared with like, and both are shown
    np.testing.assert_array_equal(found.loss[:, [0, -1]], found.line_loss[:, [0, -1]])
    assert (found.loss[:, 1:-1] != found.line_loss[:, 1:-1]).all()
    again = landscape.connect(one, other, examples(12), eps=0.02, recipe=recipe, interior_points=1, points=5)
    np.testing.assert_array_equal(again.loss, found.loss)


def test_adaptive_places_are_common_to_curve_and_line() -> None:
    one, other = pair()
    settings: dict[str, Any] = {"eps": 0, "epochs": 0, "interior_points": 1}
    found = landscape.connect(one, other, examples(8), points=5, adaptive=True, grid_tol=1e-6, **settings)
    assert len(found.t) == 17  # nothing is straight to a part in a million
    whole = landscape.connect(one, other, examples(8), points=found.t, **settings)
    np.testing.assert_array_equal(found.loss, whole.loss)
    few = landscape.connect(one, other, examples(8), points=5, adaptive=True, grid_tol=1.0, **settings)
    assert len(few.t) == 5


def test_what_cannot_be_connected_is_refused_in_one_sentence() -> None:
    one, other = pair()
    data = examples(4)
    with pytest.raises(UsageError, match="both nets hold the same weights"):
        landscape.connect(one, one, data, eps=0)
    with pytest.raises(UsageError, match=r"different shapes: fc1.weight is \(8, 6\) in the first, fc1"):
        landscape.connect(one, mlp((4,)), data, eps=0)
    with pytest.raises(UsageError, match="differ in more than trainable weights"):
        landscape.connect(one, mlp(seed=1, activation="relu"), data, eps=0)
    with pytest.raises(UsageError, match="a bezier without interior points is the line"):
        landscape.connect(one, other, data, eps=0, interior_points=0)
    with pytest.raises(UsageError, match=r"t = 1.2 lies outside \[0, 1\]"):
        landscape.connect(one, other, data, eps=0, points=[0, 1.2])
    with pytest.raises(UsageError, match="control points of shape"):
        landscape.connect(one, other, data, eps=0, control_points=torch.zeros(2, 3))
    with pytest.raises(UsageError, match="did you mean bezier"):
        landscape.connect(one, other, data, eps=0, curve="beziers")
