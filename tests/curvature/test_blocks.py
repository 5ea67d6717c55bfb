"""Diagonal blocks: what the Hessian of some parameters is, the others held, beside the dense matrix of all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, directional_curvature, power_eigenpairs
from landscape.curvature import evidence as evidence_module
from landscape.objective import Objective
from landscape.params import ParameterSpace, layers
from tests.problems import Tied, assert_untouched, dense_hessian, examples, fill, mlp, state_of


def places(net: nn.Module, pattern: str) -> Tensor:
    """Return where in R^P the parameters of a pattern lie."""
    whole, block = ParameterSpace(net), ParameterSpace(net, pattern)
    marks = [torch.full((size,), name in block.names) for name, size in zip(whole.names, whole.sizes, strict=True)]
    return torch.cat(marks).nonzero()[:, 0]


def direction(n: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("attack", [None, PGD(LinfBall(0.1), steps=2)], ids=["clean", "attacked"])
def test_every_layer_is_a_diagonal_block_of_the_dense_hessian(attack: PGD | None) -> None:
    net = fill(mlp((7, 5), inputs=(1, 4, 4)))
    data = examples(6, (1, 4, 4))
    dense = dense_hessian(Objective(net, *data, attack=attack).freeze())
    blocks = layers(net)
    assert sum(len(places(net, pattern)) for pattern in blocks.values()) == len(dense)
    for pattern in blocks.values():
        block = Objective(net, *data, attack=attack, params=pattern, batch_size=4).freeze()
        at = places(net, pattern)
        matrix = HessianOperator(block) @ torch.eye(len(at), dtype=torch.float64)
        assert (matrix - dense[at][:, at]).norm() <= 1e-12 * dense.norm()


@pytest.mark.parametrize(
    ("make", "pattern"),
    [(mlp, "*.bias"), (mlp, "fc1.weight"), (Tied, "second.weight"), (Tied, "first.*,head.bias")],
    ids=["mlp biases", "mlp weights", "tied second", "tied first and head"],
)
def test_the_gradient_and_the_evidence_of_a_block(make: Callable[[], nn.Module], pattern: str) -> None:
    net = fill(make().double())
    data = examples(7, (1, 2, 3))
    whole, block = Objective(net, *data), Objective(net, *data, params=pattern)
    at = places(net, pattern)
    assert block.n_parameters == len(at) < whole.n_parameters
    assert block.value() == whole.value()
    assert torch.allclose(block.gradient(), whole.gradient()[at], rtol=1e-12)
    v = direction(len(at))
    padded = torch.zeros(whole.n_parameters, dtype=v.dtype).index_copy(0, at, v)
    expected = directional_curvature(whole, whole.w0, padded)
    for ours, other in zip(directional_curvature(block, block.w0, v), expected, strict=True):
        assert torch.allclose(ours, other, rtol=1e-10, atol=1e-14)
    net.eval()
    reverse = evidence_module._reverse_mode(block, block.w0, v, block.images)
    for one, other in zip(evidence_module._forward_mode(block, block.w0, v, block.images), reverse, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-13)


def test_away_from_the_net_s_own_weights_only_the_block_moves() -> None:
    net = fill(mlp())
    whole, block = (Objective(net, *examples(5, (1, 2, 3)), params=params) for params in (None, "fc1.*"))
    at = places(net, "fc1.*")
    step = direction(len(at)) / 10
    w = whole.w0.index_add(0, at, step)
    assert block.value(block.w0 + step) == pytest.approx(whole.value(w), rel=1e-14)
    matrix = HessianOperator(block, block.w0 + step) @ torch.eye(len(at), dtype=torch.float64)
    dense = dense_hessian(whole, w)
    assert (matrix - dense[at][:, at]).norm() <= 1e-12 * dense.norm()


def test_the_power_method_keeps_to_the_block() -> None:
    net = fill(mlp())
    before = state_of(net)
    block = Objective(net, *examples(6, (1, 2, 3)), params="fc2.*")
    pairs = power_eigenpairs(HessianOperator(block), 1, tol=1e-8)
    assert_untouched(net, before)
    at = places(net, "fc2.*")
    values = torch.linalg.eigvalsh(dense_hessian(Objective(net, *examples(6, (1, 2, 3))))[at][:, at])
    assert pairs.vectors.shape == (1, len(at))
    assert pairs.values[0] == pytest.approx(float(values[values.abs().argmax()]), rel=1e-3)
