"""What is handed in from Python: every way to say it, and a sentence for what cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from landscape.arguments import (
    check_model,
    check_outputs,
    check_twice_differentiable,
    read_attack,
    read_eps,
    read_integer,
    read_positive,
)
from landscape.attacks import PGD, L2Ball, LinfBall
from landscape.errors import UsageError
from landscape.models import build_model
from landscape.objective import Objective
from tests.problems import CLASSES, assert_untouched, examples, state_of

IMAGES = torch.rand(3, 1, 8, 8)


@pytest.mark.parametrize(
    "eps",
    [
        "1/4",
        "0.25",
        0.25,
        np.float32(0.25),
        np.array(0.25),
        torch.tensor(0.25),
        torch.tensor(0.25).double(),
        Fraction(1, 4),
    ],
)
def test_a_radius_in_any_form(eps: Any) -> None:
    found = read_eps(eps, "linf")
    assert type(found) is float and found == 0.25


@pytest.mark.parametrize("eps", [None, True, "four", [0.1], torch.rand(1), np.zeros(2), 1j, math.nan, -0.1, 4, "4"])
def test_no_radius(eps: Any) -> None:
    with pytest.raises(UsageError, match="eps = "):
        read_eps(eps, "linf")


def test_an_attack_has_one_norm() -> None:
    ball = L2Ball(9.0)
    assert read_attack(PGD(ball, steps=3), None, "0.5") == PGD(L2Ball(0.5), steps=3)
    assert read_attack(PGD(ball, steps=3), "l2", 0.5) == PGD(L2Ball(0.5), steps=3)
    assert read_attack("pgd", None, 0.5) == PGD(LinfBall(0.5))
    assert read_attack("pgd", "l2", 2) == PGD(L2Ball(2.0))
    with pytest.raises(UsageError, match="norm = 'linf' came with an attack in a ball of l2; leave norm out"):
        read_attack(PGD(ball), "linf", 0.5)
    with pytest.raises(UsageError, match="wanted a PGD object"):
        read_attack(None, None, 0.5)


@pytest.mark.parametrize("value", [0, 2.0, "3", None, True])
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(UsageError, match="top = .*; wanted a whole number, 1 or more"):
        read_integer("top", value, least=1)


@pytest.mark.parametrize("value", [3, np.int64(3), torch.tensor(3)])
def test_a_whole_number_in_any_form(value: Any) -> None:
    assert type(read_integer("top", value, least=1)) is int


@pytest.mark.parametrize("value", [0, -1e-3, math.inf, math.nan, "1e-3", None])
def test_no_tolerance(value: Any) -> None:
    with pytest.raises(UsageError, match="tol = .*; wanted a finite positive number, such as 1e-3"):
        read_positive("tol", value, such_as="1e-3")
    assert read_positive("tol", np.float32(0.5), such_as="1e-3") == 0.5


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("digits/eps0.1", "'digits/eps0.1' came as the model; .* landscape.load_model"),
        ({}, "a dict came as the model"),
        (nn.Linear(2, 2, device="meta"), "weight is on the meta device"),
    ],
)
def test_no_model(model: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_model(model)


class Outputs(nn.Module):
    """A net whose output is made into something else."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.net = build_model("linear", seed=0)[0]
        self.make = make

    def forward(self, images: Tensor) -> Any:
        return self.make(self.net(images))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda out: (out, out), "gives a tuple for one image; wanted one tensor"),
        (lambda out: out.unsqueeze(2), r"gives \(1, 10, 1\) for one image, .* wanted outputs \(1, 10\)"),
        (lambda out: out[0], r"gives \(10,\) for one image"),
        (lambda out: out[:, :9], r"gives \(1, 9\) for one image, and the data has labels of 10 classes"),
    ],
)
def test_outputs_that_are_no_scores(make: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_outputs(Outputs(make), IMAGES, classes=10)


def test_images_of_another_shape_and_a_net_of_nothing() -> None:
    net = build_model("lenet:width=1", input=(1, 8, 8), seed=0)[0]
    with pytest.raises(UsageError, match="the net fails on the 3x8x8 images in 10 classes of the data"):
        check_outputs(net, torch.rand(2, 3, 8, 8), classes=10)
    with pytest.raises(UsageError, match="no landscape"):
        check_outputs(nn.Flatten(), IMAGES, classes=10)


def test_what_is_right_passes_and_leaves_the_net_as_it_was() -> None:
    net = build_model("resnet18:width=1", input=(1, 8, 8), seed=0)[0]
    before = state_of(net)
    check_outputs(net, IMAGES, classes=7)
    check_outputs(net, (IMAGES * 255).to(torch.uint8), classes=10)
    assert_untouched(net, before)
    # Another loss may want other outputs.
    check_outputs(Outputs(lambda out: out.unsqueeze(2)), IMAGES, classes=10, loss=lambda out, labels: out.sum((1, 2)))


class Net(nn.Module):
    """A perceptron that something is done to: `how` takes its layers and the images (B, 1, 2, 3)."""

    def __init__(self, how: Callable[[nn.Sequential, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Dropout(), nn.Linear(4, CLASSES))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.layers, x)


def without_gradient(layers: nn.Sequential, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layers(x)


def in_place(layers: nn.Sequential, x: Tensor) -> Tensor:
    hidden = layers[:3](x)
    hidden += 1
    return layers[4](hidden)


def checkpointed(layers: nn.Sequential, x: Tensor, *, reentrant: bool) -> Tensor:
    return layers[4](checkpoint(layers[:3], x, use_reentrant=reentrant))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (without_gradient, "cannot be differentiated twice .*look for no_grad"),
        (in_place, "modified by an inplace operation"),
        (partial(checkpointed, reentrant=True), "activation checkpointing"),
        (partial(checkpointed, reentrant=False), "activation checkpointing"),
        (lambda layers, x: layers(x + 0.3 * torch.randn_like(x)), "change from call to call"),
        (lambda layers, x: layers(x) - layers(x).mean(0), "depend on the other images of its batch"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_nets_that_have_no_hessian_are_told_why(how: Any, says: str) -> None:
    objective = Objective(Net(how), *examples(4, (1, 2, 3), dtype=torch.float32), attack=PGD(LinfBall(0.1), steps=2))
    with pytest.raises(UsageError, match=says):
        check_twice_differentiable(objective)


def test_a_net_that_has_one_passes_and_is_left_as_it_was() -> None:
    net = Net(lambda layers, x: layers(x))
    images, labels = examples(4, (1, 2, 3), dtype=torch.float32)
    before = state_of(net)
    check_twice_differentiable(Objective(net, images, labels, attack=PGD(LinfBall(0.1), steps=2)))
    check_twice_differentiable(Objective(net, images[:1], labels[:1]))
    assert_untouched(net, before)


def test_a_lazy_net_is_to_be_called_first() -> None:
    with pytest.raises(UsageError, match="weight has no shape yet"):
        check_model(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
