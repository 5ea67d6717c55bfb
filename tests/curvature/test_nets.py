"""Nets of other kinds: attention, GroupNorm, tied weights, embeddings. The same mathematics against dense oracles."""

from __future__ import annotations

import warnings

import pytest
import torch
from landscape.analyses.hessian import hessian
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, directional_curvature, power_eigenpairs
from landscape.curvature import evidence as evidence_module
from landscape.objective import Objective
from tests.problems import (
    CLASSES,
    Attention,
    Embedded,
    Encoder,
    Grouped,
    Headed,
    Heads,
    Recurrent,
    Reparametrised,
    Tied,
    assert_untouched,
    dense_hessian,
    examples,
    fill,
    state_of,
)

NETS = [Attention, Encoder, Heads, Grouped, Embedded, Tied, Recurrent, Reparametrised]


def problem(make: type[nn.Module], *, n: int = 6) -> Objective:
    shape = (1, 2, 3) if make is Tied else (1, 4, 4)
    attack = PGD(LinfBall(0.1), steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the encoder's word about nested tensors
        net = fill(make().double())
    return Objective(net, *examples(n, shape), attack=attack, batch_size=4).freeze()


def oracle(objective: Objective) -> Tensor:
    """Return the dense Hessian of mean cross-entropy, attention and weight normalisation written out."""

    def written_out(v: Tensor, g: Tensor, dim: int) -> Tensor:
        assert dim == 0 and v.dim() == 2
        return g * v / v.square().sum(1, keepdim=True).sqrt()

    with sdpa_kernel(SDPBackend.MATH), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "_weight_norm", written_out)
        patch.setitem(nn.utils.weight_norm.__globals__, "_weight_norm", written_out)
        return dense_hessian(objective)


@pytest.mark.parametrize("make", NETS)
def test_products_and_evidence_are_those_of_the_dense_hessian(make: type[nn.Module]) -> None:
    frozen = problem(make)
    before = state_of(frozen.model)
    H = HessianOperator(frozen)
    matrix = H @ torch.eye(H.shape[0], dtype=torch.float64)
    curvature, *_ = directional_curvature(frozen, frozen.w0, matrix[0])
    assert_untouched(frozen.model, before)
    dense = oracle(frozen)
    assert dense.norm() > 0
    assert (matrix - dense).norm() <= 1e-12 * dense.norm()
    assert float(curvature.mean()) == pytest.approx(float(dense[0] @ dense @ dense[0]), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "right"), [(Attention, False), (Encoder, False), (Grouped, True), (Embedded, True), (Recurrent, True)]
)
def test_a_wrong_forward_derivative_is_found_out(make: type[nn.Module], right: bool) -> None:
    # LayerNorm's is wrong in torch 2.13: where this fails with a newer one, the doubt has become needless.
    frozen = problem(make)
    v = torch.linspace(-1, 1, frozen.n_parameters, dtype=torch.float64)
    frozen.model.eval()
    with sdpa_kernel(SDPBackend.MATH):
        chosen = evidence_module._choose_mode(frozen, frozen.w0, v, frozen.images)
    assert chosen is (evidence_module._forward_mode if right else evidence_module._reverse_mode)


@pytest.mark.parametrize("make", [Attention, Embedded])
def test_the_power_method_too(make: type[nn.Module]) -> None:
    frozen = problem(make)
    pairs = power_eigenpairs(HessianOperator(frozen), 1, tol=1e-9)
    values = torch.linalg.eigvalsh(oracle(frozen))
    assert pairs.values[0] == pytest.approx(float(values[values.abs().argmax()]), rel=1e-3)


def test_a_head_on_a_frozen_backbone_of_half_precision() -> None:
    net = Headed()
    net.head = fill(net.head.double())
    images, labels = examples(6, (1, 4, 4))
    matrix = HessianOperator(Objective(net, images, labels)) @ torch.eye(18, dtype=torch.float64)
    # Of a linear head on fixed features z the Hessian is the mean of (diag p - pp') times zz'.
    with torch.no_grad():
        z = torch.relu(net.backbone(images.flatten(1).bfloat16())).double()
        p = net.head(z).softmax(1)
    z = torch.cat([z, torch.ones(6, 1)], 1)
    expected = torch.einsum("nij,nk,nl->ikjl", torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1), z, z) / 6
    assert torch.allclose(matrix[:15, :15], expected[:, :5, :, :5].reshape(15, 15), atol=1e-14)
    assert torch.allclose(matrix[15:, 15:], expected[:, 5, :, 5], atol=1e-14)


@pytest.mark.parametrize("make", [Attention, Encoder, Grouped, Embedded, Reparametrised])
def test_from_end_to_end(make: type[nn.Module]) -> None:
    frozen = problem(make, n=12)
    labels = torch.arange(12) % CLASSES  # every class is there, so that they are counted right
    result = hessian(frozen.model, (frozen.images, labels), eps=0.0, top=3, density=True)
    assert result.status == "complete"
    expected = torch.linalg.eigvalsh(oracle(Objective(frozen.model, frozen.images, labels))).flip(0)[:3]
    assert result.eigenvalues == pytest.approx(expected.numpy(), rel=1e-5)
