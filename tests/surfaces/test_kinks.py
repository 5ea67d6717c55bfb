"""Kinks of the re-attacked loss where they are known: at the origin of fig. 1, nowhere, and off the origin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import LinfBall, parse_attack
from landscape.errors import LandscapeError, UsageError
from landscape.objective import Objective
from landscape.results.kinks import Verdict
from landscape.surfaces.kinks import Line, unit_directions
from landscape.theory import one_dimensional

H = (1e-3, 3e-3, 1e-2, 3e-2)
V = torch.ones(1, dtype=torch.float64)


class Logistic(nn.Module):
    """Logits (0, theta x + offset): of label 0 the loss of fig. 1, log(1 + exp(theta x)), for images of one pixel."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x), dtype=x.dtype), self.theta * x.flatten(1).sum(1)], 1)


class Ridge(nn.Module):
    """Logits (0, 1 - 4 (x - theta)^2): the worst pixel is theta itself, which moves with it and never jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x), dtype=x.dtype), 1 - 4 * (x.flatten(1).sum(1) - self.theta) ** 2], 1)


def line(net: nn.Module, images: Tensor, labels: Tensor, eps: float = 0.3, attack: str = "pgd") -> Line:
    objective = Objective(net, images.double().view(-1, 1, 1, 1), labels, attack=parse_attack(attack, LinfBall(eps)))
    return Line(objective, H)


def test_at_the_origin_of_figure_1_it_reads_eps_over_h() -> None:
    own = line(Logistic(0.0), torch.tensor([0.5, 0.4, 0.6]), torch.zeros(3, dtype=torch.long))
    found = own.measure(V, slice(0, 3))
    for step, h in enumerate(H):
        for place, x in enumerate((0.5, 0.4, 0.6)):
            wanted = one_dimensional.second_difference(h, eps=0.3, x=x)
            assert found["curvature"][step, place] == pytest.approx(wanted, rel=1e-9)
    np.testing.assert_allclose(found["curvature"] * np.array(H)[:, None], 0.3, rtol=0.02)
    np.testing.assert_allclose(found["jump"], 0.3, rtol=1e-3)
    np.testing.assert_allclose(found["distance"], 0.6)
    # The frozen value is a smooth one, between those of the two sides: no h shows it the kink.
    low, high = one_dimensional.frozen_curvatures(eps=0.3, x=0.5)
    assert (found["frozen"][:, 0] > low - 1e-5).all() and (found["frozen"][:, 0] < high + 1e-5).all()
    assert (found["verdict"] == Verdict.KINK).all()
    assert found["crosses"].all() and (found["own_jump"] > 0).all()


def test_a_kink_beside_the_weights_is_seen_by_the_steps_that_reach_over_it() -> None:
    found = line(Logistic(2e-3), torch.tensor([0.5]), torch.tensor([0])).measure(V, slice(0, 1))
    assert found["verdict"][:, 0].tolist() == [Verdict.STILL, Verdict.KINK, Verdict.KINK, Verdict.KINK]
    for step, h in enumerate(H):
        values = one_dimensional.loss([2e-3 + h, 2e-3, 2e-3 - h], eps=0.3, x=0.5)
        wanted = (values[0] - 2 * values[1] + values[2]) / h**2
        assert found["curvature"][step, 0] == pytest.approx(wanted, rel=1e-6)
    assert found["curvature"][0] == pytest.approx(found["frozen"][0])


def test_what_moves_smoothly_is_no_kink_and_its_curvature_is_that_of_the_maximum() -> None:
    """max over x of log(1 + exp(1 - 4 (x - theta)^2)) is the same at every theta; held, it curves by -8 sigma(1)."""
    inputs = torch.linspace(0.45, 0.55, 6)
    found = line(Ridge(), inputs, torch.zeros(6, dtype=torch.long), eps=0.1).measure(V, slice(0, 6))
    wide = np.array(H) >= 3e-3  # the ascents end within eps / 64 of the maximum
    np.testing.assert_allclose(found["frozen"], -8 / (1 + np.exp(-1)), rtol=1e-3)
    np.testing.assert_allclose(found["curvature"][wide], 0, atol=0.15)
    assert not (found["verdict"] == Verdict.KINK).any()
    assert (found["verdict"][wide] == Verdict.SMOOTH).all()


def test_an_attack_that_misses_is_told_and_does_not_make_kinks() -> None:
    """With a single short step from its random start, the attack ends elsewhere at each place, and is settled."""
    inputs = torch.linspace(0.3, 0.7, 8)
    weak = line(Logistic(0.5), inputs, torch.zeros(8, dtype=torch.long), attack="pgd:steps=1,rel_step=0.05")
    found = weak.measure(V, slice(0, 8))
    strong = line(Logistic(0.5), inputs, torch.zeros(8, dtype=torch.long)).measure(V, slice(0, 8))
    assert (strong["verdict"] == Verdict.STILL).all()
    np.testing.assert_allclose(strong["curvature"], strong["raw"], rtol=1e-6)
    assert (found["curvature"] >= found["frozen"] - 1e-9).all()
    assert not (found["verdict"] == Verdict.KINK).any()


def test_parts_are_those_of_the_whole_and_the_net_is_as_it_was() -> None:
    net = Logistic(0.1)
    own = line(net, torch.linspace(0.3, 0.7, 5), torch.tensor([0, 1, 0, 1, 0]))
    whole, parts = own.measure(V, slice(0, 5)), [own.measure(V, slice(0, 2)), own.measure(V, slice(2, 5))]
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=1), array, err_msg=name)
        assert array.shape == (len(H), 5)
    assert net.training and float(net.theta.detach()) == 0.1 and net.theta.grad is None


def test_what_has_no_adversary_no_direction_or_no_number_is_refused() -> None:
    images, labels = torch.tensor([0.5]), torch.tensor([0])
    with pytest.raises(UsageError, match="at eps 0 there is no adversary to attack anew; give --eps"):
        line(Logistic(0.0), images, labels, eps=0.0)
    with pytest.raises(UsageError, match="direction 2 has length 0; wanted a positive one: it points nowhere"):
        unit_directions(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 2)
    with pytest.raises(UsageError, match=r"directions of shape \(3,\) came; wanted \(k, 2\)"):
        unit_directions(torch.ones(3), 2)
    np.testing.assert_allclose(unit_directions(torch.tensor([3.0, 4.0]), 2), [[0.6, 0.8]])
    broken = Logistic(float("inf"))
    with pytest.raises(LandscapeError, match="the loss is not finite at some place"):
        line(broken, images, labels).measure(V, slice(0, 1))
