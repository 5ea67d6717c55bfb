"""The point of R^P: tied weights once, frozen ones not at all, one dtype, and the way back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.params import ParameterSpace, layers
from tests.problems import Tied, lenet


def test_there_and_back() -> None:
    net = lenet()
    space = ParameterSpace(net)
    w = space.point(net)
    assert w.shape == (space.n_parameters,) == (sum(p.numel() for p in net.parameters()),)
    assert torch.equal(w, nn.utils.parameters_to_vector(net.parameters()).detach())
    named = space.named(w)
    assert list(named) == [name for name, _ in net.named_parameters()]
    for name, value in net.named_parameters():
        assert torch.equal(named[name], value)
    for piece, value in zip(space.split(w), net.parameters(), strict=True):
        assert torch.equal(piece, value)
    # Views forth, a copy back: a move of the point shows in its pieces, not in the net.
    w += 1
    assert torch.equal(space.named(w)["conv1.bias"], net.conv1.bias + 1)


def test_a_tied_weight_is_one_coordinate_block() -> None:
    net = Tied()
    space = ParameterSpace(net)
    assert space.names == ("first.weight", "first.bias", "second.bias", "head.weight", "head.bias")
    assert space.n_parameters == 36 + 6 + 6 + 18 + 3


def test_a_frozen_parameter_is_no_coordinate() -> None:
    net = lenet()
    net.conv1.requires_grad_(False)
    assert "conv1.weight" not in ParameterSpace(net).names
    net.requires_grad_(False)
    with pytest.raises(UsageError, match="no trainable parameter"):
        ParameterSpace(net)


def test_one_floating_type_is_demanded() -> None:
    net = lenet()
    net.fc2.float()
    with pytest.raises(UsageError, match=r"torch\.float32, torch\.float64.*model\.float\(\)"):
        ParameterSpace(net)


@pytest.mark.parametrize("shape", [(1538,), (1540,), (1539, 1), ()])
def test_a_point_of_another_space(shape: tuple[int, ...]) -> None:
    space = ParameterSpace(lenet())
    with pytest.raises(UsageError, match=rf"wanted \({space.n_parameters},\)"):
        space.split(torch.zeros(shape))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("conv1.*", ("conv1.weight", "conv1.bias")),
        ("*.bias", ("conv1.bias", "conv2.bias", "fc1.bias", "fc2.bias")),
        ("fc2.bias, conv1.bias", ("conv1.bias", "fc2.bias")),
        ("conv?.weight", ("conv1.weight", "conv2.weight")),
    ],
)
def test_a_pattern_takes_a_block_in_the_net_s_own_order(pattern: str, names: tuple[str, ...]) -> None:
    net = lenet()
    space = ParameterSpace(net, pattern)
    assert space.names == names
    assert torch.equal(space.point(net), torch.cat([net.get_parameter(name).detach().reshape(-1) for name in names]))
    held = space.held(net)
    assert not set(held) & set(names) and len(held) + len(names) == len(list(net.parameters()))
    assert not any(value.requires_grad for value in held.values())


def test_a_pattern_may_name_a_tied_weight_by_either_name() -> None:
    assert ParameterSpace(Tied(), "second.weight").names == ("first.weight",)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("conv1", "no trainable parameter is called 'conv1'; did you mean conv1"),
        ("conv1.*,fc9.weight", "'fc9.weight'; did you mean fc"),
        ("", "is called ''; there are conv1"),
        ("*.gamma", "wanted|there are|did you mean"),
    ],
)
def test_a_pattern_that_matches_nothing_says_what_there_is(pattern: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ParameterSpace(lenet(), pattern)


def test_a_frozen_parameter_is_in_no_block() -> None:
    net = lenet()
    net.conv1.requires_grad_(False)
    with pytest.raises(UsageError, match="no trainable parameter is called 'conv1"):
        ParameterSpace(net, "conv1.*")
    assert "conv1" not in layers(net)


def test_layers_are_the_modules_with_parameters_of_their_own() -> None:
    assert layers(Tied()) == {
        "first": "first.weight,first.bias",
        "second": "second.bias",
        "head": "head.weight,head.bias",
    }
    bare = nn.Linear(2, 1)
    assert layers(bare) == {"weight": "weight", "bias": "bias"}
