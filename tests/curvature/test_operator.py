"""The Hessian operator: H times the identity is the dense Hessian, for every net, batch and amount of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator
from landscape.curvature import operator as operator_module
from landscape.errors import LandscapeError, UsageError
from landscape.objective import Objective
from tests.problems import Tied, WithUnused, assert_untouched, dense_hessian, examples, lenet, mlp, resnet, state_of

ATTACK = PGD(LinfBall(0.1), steps=2)
EVERYTHING = 2**40  # bytes: keep every graph
# A random start of two float64 computations of one matrix in different orders: a thousand roundings at most.
ROUNDING = 1e-12


def column(n: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def small(n: int = 7, **settings: Any) -> Objective:
    return Objective(mlp(), *examples(n, (1, 2, 3)), **settings)


@pytest.mark.parametrize("attack", [None, ATTACK], ids=["clean", "attacked"])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("make", [lenet, resnet], ids=["lenet", "resnet"])
def test_times_the_identity_is_the_dense_hessian(
    make: Callable[[str], nn.Module], activation: str, attack: PGD | None
) -> None:
    frozen = Objective(make(activation), *examples(6), attack=attack, batch_size=4).freeze()
    H = HessianOperator(frozen)
    dense = dense_hessian(frozen)
    # Every sixteenth column, of all layers, and all of the matrix along random directions (a perceptron's: all).
    some = torch.arange(0, len(dense), 16)
    product = H @ torch.eye(len(dense), dtype=dense.dtype)[:, some]
    assert (product - dense[:, some]).norm() <= ROUNDING * dense.norm()
    V = torch.stack([column(len(dense), seed=i) for i in range(3)], dim=1)
    assert (H @ V - dense @ V).norm() <= ROUNDING * (dense @ V).norm()
    assert dense[some].norm() > 0


def test_the_whole_matrix_is_dense_and_symmetric() -> None:
    objective = small()
    w = objective.w0 + 0.1 * column(objective.n_parameters)
    H = HessianOperator(objective, w)
    matrix = H @ torch.eye(H.shape[0], dtype=torch.float64)
    assert (matrix - dense_hessian(objective, w)).norm() <= ROUNDING * matrix.norm()
    assert (matrix - matrix.T).norm() <= ROUNDING * matrix.norm()
    assert H.products == H.shape[0] == 83


def test_the_net_s_parameters_are_few_enough_for_the_oracle() -> None:
    assert Objective(lenet(), *examples(1)).n_parameters == 1539
    assert Objective(resnet(), *examples(1)).n_parameters == 768


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_micro_batch_changes_memory_and_speed_only(dtype: torch.dtype, tolerance: float) -> None:
    images, labels = examples(13)
    objective = Objective(lenet(dtype=dtype), images, labels)
    v = column(objective.n_parameters, dtype=dtype)
    whole = HessianOperator(objective, batch_size=13) @ v
    for size in (1, 3, 5, 12, 100):
        H = HessianOperator(objective, batch_size=size)
        assert ((H @ v) - whole).norm() <= tolerance * whole.norm()
        assert H.batch_size == min(size, 13) and H.n_batches == -(-13 // H.batch_size)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_columns_are_products_of_their_own(m: int) -> None:
    H = HessianOperator(small())
    V = torch.stack([column(83, seed=i) for i in range(m)], dim=1)
    assert torch.equal(H @ V, torch.stack([H @ V[:, i] for i in range(m)], dim=1))
    assert H.products == 2 * m


def test_kept_and_rebuilt_graphs_agree_bit_for_bit() -> None:
    objective = Objective(lenet(), *examples(10), batch_size=3)
    v = column(objective.n_parameters)
    kept = HessianOperator(objective, memory_budget=EVERYTHING)
    first = kept @ v
    assert kept.n_kept == kept.n_batches == len(kept._graphs) == 4
    assert torch.equal(kept @ v, first)
    for H in (
        HessianOperator(objective, memory_budget=0),
        HessianOperator(objective, keep_graphs=False),
    ):
        assert torch.equal(H @ v, first) and torch.equal(H @ v, first)
        assert H.n_kept == 0 and not H._graphs
    kept.release()
    assert not kept._graphs and torch.equal(kept @ v, first)


def test_a_budget_keeps_the_graphs_that_fit_it() -> None:
    objective = Objective(lenet(), *examples(20), batch_size=4)
    fixed, per_example = HessianOperator(objective)._graph_bytes()
    half = HessianOperator(objective, memory_budget=int(2.5 * (fixed + 4 * per_example)))
    half @ column(objective.n_parameters)
    assert half.n_kept == len(half._graphs) == 2 and half.n_batches == 5
    assert fixed >= 4 * objective.n_parameters  # the gradients, whatever the batch
    # The image is 512 bytes, the maps of both layers before and after each step some 3,000, and their slopes come on
    # top, but for that of the first convolution: its weights' gradient leans on the image alone.
    assert 3_512 < per_example < 20_000


def test_a_product_in_the_vector_s_own_precision() -> None:
    objective = Objective(mlp(dtype=torch.float32), *examples(5, (1, 2, 3)))
    H = HessianOperator(objective)
    assert H.dtype == torch.float32
    assert (H @ column(83)).dtype == torch.float64
    assert (H @ column(83, dtype=torch.float32)).dtype == torch.float32


def test_memory_that_runs_out_halves_the_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(lenet(), *examples(11), batch_size=8)
    v = column(objective.n_parameters)
    expected = HessianOperator(objective) @ v
    H = HessianOperator(objective)
    sizes: list[int] = []
    build = HessianOperator._build

    def scarce(self: HessianOperator, batch: Any) -> Any:
        sizes.append(len(batch.labels))
        if len(batch.labels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return build(self, batch)

    assert H.batch_size == 8
    monkeypatch.setattr(HessianOperator, "_build", scarce)
    assert (H @ v - expected).norm() <= ROUNDING * expected.norm()
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1] and H.batch_size == 2
    assert (H @ v - expected).norm() <= ROUNDING * expected.norm()
    assert H.batch_size == 2 and H.products == 2


def test_kept_graphs_go_before_the_last_example(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = small(6)
    v = column(83)
    H = HessianOperator(objective, batch_size=1, memory_budget=EVERYTHING)
    expected = H @ v
    H.release()
    build = HessianOperator._build

    def scarce(self: HessianOperator, batch: Any) -> Any:
        if len(self._graphs) >= 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return build(self, batch)

    monkeypatch.setattr(HessianOperator, "_build", scarce)
    assert torch.equal(H @ v, expected)
    assert H.n_kept < 2


def test_memory_too_small_for_one_example_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: HessianOperator, batch: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(HessianOperator, "_build", none)
    # The graph that the plan would measure fails first; nothing is kept, and batches shrink down to one example.
    H = HessianOperator(small(20))
    with pytest.raises(LandscapeError, match=r"memory ran out.*one example \(83 parameters"):
        H @ column(83)


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: HessianOperator, batch: Any) -> Any:
        raise RuntimeError("broken")

    H = HessianOperator(small())
    H @ column(83)
    H.release()
    monkeypatch.setattr(HessianOperator, "_build", broken)
    with pytest.raises(RuntimeError, match="broken"):
        H @ column(83)


def test_free_memory_is_asked_for_where_no_budget_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(lenet(), *examples(8), batch_size=2)
    fixed, per_example = HessianOperator(objective)._graph_bytes()
    monkeypatch.setattr(operator_module, "available_bytes", lambda device: 2 * 3 * (fixed + 2 * per_example))
    assert HessianOperator(objective).n_kept == 3  # half of what is free


@pytest.mark.parametrize("frozen", [(), ("head",), ("first",)])
def test_tied_and_frozen_parameters(frozen: tuple[str, ...]) -> None:
    net = Tied().double()
    for name in frozen:
        net.get_submodule(name).requires_grad_(False)
    objective = Objective(net, *examples(6, (6,)), batch_size=4)
    dense = dense_hessian(objective)
    matrix = HessianOperator(objective) @ torch.eye(objective.n_parameters, dtype=torch.float64)
    assert (matrix - dense).norm() <= ROUNDING * dense.norm()


def test_a_parameter_that_the_loss_does_not_use_has_no_curvature() -> None:
    objective = Objective(WithUnused().double(), *examples(6, (6,)), batch_size=4)
    dense = dense_hessian(objective)
    matrix = HessianOperator(objective) @ torch.eye(objective.n_parameters, dtype=torch.float64)
    assert torch.equal(matrix[:4], torch.zeros_like(matrix[:4])) and torch.equal(matrix[:, :4], matrix[:4].T)
    assert (matrix - dense).norm() <= ROUNDING * dense.norm()


def test_a_loss_without_curvature_has_a_zero_hessian() -> None:
    def linear(outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs[:, 0]

    objective = Objective(WithUnused().double(), *examples(4, (6,)), loss=linear)
    assert torch.equal(HessianOperator(objective) @ column(25), torch.zeros(25, dtype=torch.float64))


def test_scipy_sees_the_same_matrix() -> None:
    H = HessianOperator(Objective(mlp(dtype=torch.float32), *examples(5, (1, 2, 3))))
    wrapped = H.to_scipy()
    v = column(83).numpy()
    assert wrapped.shape == (83, 83) and wrapped.dtype == np.float64
    assert np.array_equal(wrapped @ v, (H @ torch.from_numpy(v)).numpy())
    both = wrapped.matmat(np.stack([v, 2 * v], axis=1))
    assert np.allclose(both[:, 1], 2 * (wrapped @ v), rtol=1e-5, atol=1e-6)  # float32 inside, whatever is outside
    assert (wrapped @ v[:, None]).shape == (83, 1)


def test_the_model_is_borrowed() -> None:
    net = resnet().train()
    net.layer1.eval()
    objective = Objective(net, *examples(5))
    before = state_of(net)
    H = HessianOperator(objective, objective.w0 + 0.1)
    H @ objective.w0
    assert_untouched(net, before)


def test_an_adversary_must_be_frozen_and_vectors_must_fit() -> None:
    with pytest.raises(UsageError, match=r"objective\.freeze\(w\)"):
        HessianOperator(small(attack=ATTACK))
    H = HessianOperator(small())
    for shape in ((82,), (1, 83), (83, 2, 2)):
        with pytest.raises(UsageError, match=r"wanted \(83,\) or \(83, m\)"):
            H @ torch.zeros(shape)


def test_curvlinops_agrees() -> None:
    curvlinops = pytest.importorskip("curvlinops")
    net, (images, labels) = resnet(dtype=torch.float32).eval(), examples(9, dtype=torch.float32)
    H = HessianOperator(Objective(net, images, labels, batch_size=4))
    # Batches of one size: that package weighs its batches itself, and this is no test of it.
    peer = curvlinops.HessianLinearOperator(
        net, nn.CrossEntropyLoss(), list(net.parameters()), [(images, labels)], check_deterministic=False
    )
    v = column(H.shape[0], dtype=torch.float32)
    ours = H @ v
    assert (peer @ v - ours).norm() <= 1e-5 * ours.norm()


def test_a_vector_that_is_no_floating_point_tensor_is_refused() -> None:
    H = HessianOperator(Objective(mlp(), *examples(5, (1, 2, 3))))
    ones = torch.ones(H.shape[0], dtype=torch.int64)
    for vector in (ones, ones.numpy()):
        with pytest.raises(UsageError, match=r"takes a floating-point tensor"):
            H @ vector
