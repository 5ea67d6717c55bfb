"""Borrowed nets come back: modes after an error too, weights and precision as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.borrow import detached, evaluating, full_precision, in_mode, with_weights
from tests.problems import Tied, assert_untouched, examples, resnet, state_of


def test_every_submodule_gets_its_own_mode_back() -> None:
    net = resnet().train()
    net.layer2.eval()
    before = state_of(net)
    with pytest.raises(KeyError), evaluating(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert_untouched(net, before)
    with pytest.raises(KeyError), in_mode(net, training=True):
        assert all(module.training for module in net.modules())
        raise KeyError
    assert_untouched(net, before)


def test_a_net_at_other_weights() -> None:
    net, (images, _) = Tied().double(), examples(4, (6,))
    before = state_of(net)
    zeros = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    assert torch.equal(with_weights(net, zeros)(images), torch.zeros(4, 3))
    # Parameters that are not named keep the net's own values.
    half = with_weights(net, {"head.bias": torch.zeros(3, dtype=torch.float64)})(images)
    assert torch.allclose(half, net(images) - net.head.bias)
    assert_untouched(net, before)


def test_a_tied_weight_is_replaced_in_both_places() -> None:
    net, (images, _) = Tied().double(), examples(4, (6,))
    other = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    borrowed = with_weights(net, {"first.weight": other})(images)
    net.first.weight.data = other
    net.second.weight = net.first.weight
    assert torch.equal(borrowed, net(images))


def test_no_gradient_flows_to_a_detached_net() -> None:
    net = nn.Linear(3, 2)
    x = torch.ones(1, 3, requires_grad=True)
    detached(net)(x).sum().backward()
    assert x.grad is not None and net.weight.grad is None


def test_full_precision_is_lent_too() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32 == before[1]
    finally:
        torch.set_float32_matmul_precision(before[0])
