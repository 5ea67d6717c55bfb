"""The top of a net's Hessian: against the dense Hessian of the same frozen examples, SciPy, and PyHessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, PairStatus, power_eigenpairs, top_eigenpairs
from landscape.errors import LandscapeError, UsageError
from landscape.objective import Objective
from tests.problems import assert_untouched, dense_hessian, examples, fill, lenet, mlp, resnet, state_of

ATTACK = PGD(LinfBall(0.1), steps=2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("attack", [None, ATTACK], ids=["clean", "attacked"])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("make", [lenet, resnet], ids=["lenet", "resnet"])
def test_the_top_twenty_are_those_of_the_dense_hessian(
    make: Callable[[str], nn.Module], activation: str, attack: PGD | None
) -> None:
    net = fill(make(activation), seed=1, scale=0.3)
    frozen = Objective(net, *examples(12), attack=attack, batch_size=5).freeze()
    values, vectors = torch.linalg.eigh(dense_hessian(frozen))
    values, vectors = values.flip(0), vectors.flip(1)
    pairs = top_eigenpairs(HessianOperator(frozen), 20, generator=seeded())
    expected = values[:20].numpy()
    assert np.allclose(pairs.values, expected, rtol=1e-4, atol=0)
    assert pairs.guard_passed and pairs.orthogonality <= 1e-12
    assert (pairs.residuals <= 1e-3 * np.abs(pairs.values)).all()
    rounding = 1e-13 * expected[0]  # of the oracle's float64
    assert (np.abs(pairs.values - expected) <= pairs.residuals + rounding).all()
    for i, (vector, residual) in enumerate(zip(pairs.vectors, pairs.residuals, strict=True)):
        gap = float((values - pairs.values[i]).abs()[torch.arange(len(values)) != i].min())
        sine = float((vector - vectors[:, i] * (vectors[:, i] @ vector)).norm())
        assert sine <= residual / gap + 1e-9


@pytest.mark.parametrize(("which", "name"), [("la", "LA"), ("lm", "LM"), ("sa", "SA")])
def test_scipy_agrees_on_the_same_operator(which: str, name: str) -> None:
    H = HessianOperator(Objective(fill(mlp(), seed=2), *examples(20, (1, 2, 3))))
    ours = top_eigenpairs(H, 6, which=which, tol=1e-8, generator=seeded())
    theirs = eigsh(H.to_scipy(), k=6, which=name, return_eigenvectors=False, v0=np.ones(83))
    assert np.allclose(np.sort(ours.values), np.sort(theirs), rtol=1e-6, atol=1e-12)


def test_a_float32_net_gives_true_certificates() -> None:
    # The claim is about the exact Hessian at the float32 weights: that of the same net in float64.
    net, (images, labels) = fill(lenet(dtype=torch.float32), seed=1, scale=0.3), examples(12, dtype=torch.float32)
    pairs = top_eigenpairs(HessianOperator(Objective(net, images, labels)), 20, generator=seeded())
    dense = dense_hessian(Objective(net.double(), images.double(), labels))
    true = (dense @ pairs.vectors.T - pairs.vectors.T * torch.from_numpy(pairs.values)).norm(dim=0).numpy()
    assert (true <= 1.05 * pairs.residuals + pairs.precision).all()
    assert pairs.orthogonality <= 1e-12 and pairs.converged


def test_a_net_s_whole_spectrum() -> None:
    objective = Objective(fill(mlp((2,)), seed=1), *examples(9, (1, 2, 3)))
    expected = torch.linalg.eigvalsh(dense_hessian(objective)).flip(0).numpy()
    for k in (objective.n_parameters - 1, objective.n_parameters):
        pairs = top_eigenpairs(HessianOperator(objective), k, generator=seeded())
        assert np.allclose(pairs.values, expected[:k], atol=1e-12 * expected[0])
        assert pairs.converged


def power_problem() -> tuple[nn.Module, HessianOperator]:
    net = fill(mlp((8,)), seed=2, scale=0.8)
    return net, HessianOperator(Objective(net, *examples(20, (1, 2, 3)), batch_size=8))


def test_pyhessian_agrees_within_its_own_residuals() -> None:
    _, H = power_problem()
    pairs = power_eigenpairs(H, 5, tol=1e-6)
    truth = torch.linalg.eigvalsh(dense_hessian(H.objective)).numpy()
    exact = truth[np.argsort(-np.abs(truth))][:5]
    nearest = np.abs(pairs.values[:, None] - truth).min(axis=1)
    assert (nearest <= pairs.residuals + 1e-12).all()
    # Its values are Rayleigh quotients: those it has converged on agree far better than their residuals.
    assert np.abs(pairs.values - exact)[:3].max() <= 1e-2 * exact[0]
    assert (np.diff(np.abs(pairs.values)) <= 0).all() and pairs.which == "lm"
    assert pairs.guard_passed is None and pairs.check_hvps == 5 and 5 < pairs.hvps <= 500
    ours = top_eigenpairs(H, 5, which="lm", generator=seeded())
    assert (np.abs(ours.values - pairs.values)[:3] <= ours.residuals[:3] + pairs.residuals[:3]).all()


def test_pyhessian_s_shortfall_is_stated() -> None:
    _, H = power_problem()
    pairs = power_eigenpairs(H, 8, tol=1e-3)
    assert (pairs.status == PairStatus.NOT_CONVERGED).any() and not pairs.converged


@pytest.mark.parametrize("batch_size", [8, 20])
def test_pyhessian_counts_and_reports_its_products(batch_size: int) -> None:
    net, _ = power_problem()
    H = HessianOperator(Objective(net, *examples(20, (1, 2, 3)), batch_size=batch_size))
    seen: list[tuple[int, int]] = []
    pairs = power_eigenpairs(H, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][1] == 200 and seen[-1][0] <= pairs.hvps <= seen[-1][0] + 1


def test_pyhessian_works_on_a_copy() -> None:
    net, H = power_problem()
    net.train()
    before = state_of(net)
    first = power_eigenpairs(H, 2, seed=1)
    assert_untouched(net, before)
    torch.manual_seed(123)
    again = power_eigenpairs(H, 2, seed=1)
    assert np.array_equal(first.values, again.values)
    assert torch.equal(first.vectors, again.vectors)


def test_pyhessian_works_at_the_point_asked_for() -> None:
    net, _ = power_problem()
    objective = Objective(net, *examples(20, (1, 2, 3)))
    w = objective.w0 * 0.5
    pairs = power_eigenpairs(HessianOperator(objective, w), 1, tol=1e-8)
    assert pairs.values[0] == pytest.approx(float(torch.linalg.eigvalsh(dense_hessian(objective, w))[-1]), rel=1e-4)


@pytest.mark.parametrize("k", [0, 84])
def test_pyhessian_is_not_asked_for_more_pairs_than_there_are(k: int) -> None:
    with pytest.raises(UsageError, match="wanted 1 to 83"):
        power_eigenpairs(power_problem()[1], k)


def test_pyhessian_s_failures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyhessian

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(pyhessian, "hessian", broken)
    net, H = power_problem()
    before = state_of(net)
    with pytest.raises(LandscapeError, match="PyHessian fails on this net.*--method lanczos"):
        power_eigenpairs(H, 2)
    assert_untouched(net, before)
