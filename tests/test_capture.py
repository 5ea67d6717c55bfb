"""Recorded work: what it gives is what the work gives, or it is not recorded. A double stands in for CUDA."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from landscape.capture import Replayed, recorder_for
from landscape.curvature import HessianOperator
from landscape.curvature import operator as operator_module
from landscape.objective import Objective
from tests.problems import WithUnused, dense_hessian, examples, fill, mlp


class Double:
    """Records as CUDA does: a replay runs the same work on the same places, and fills the tensor of the recording."""

    def __init__(self, *, pays: bool = True, fails: Exception | None = None, deaf: bool = False) -> None:
        self.worth, self.fails, self.deaf = pays, fails, deaf
        self.inside = self.recorded = self.replays = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.inside += 1
        yield
        self.inside -= 1

    def pays(self, work: Callable[[], Tensor]) -> bool:
        assert self.inside
        work()
        return self.worth

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        assert self.inside
        if self.fails is not None:
            raise self.fails
        result = work().clone()
        self.recorded += 1

        def replay() -> None:
            self.replays += 1
            if not self.deaf:
                result.copy_(work())

        return replay, result


def cube(x: Tensor) -> Tensor:
    return x**3


def values(n: int = 5) -> list[Tensor]:
    return list(torch.randn(n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def test_from_the_third_call_on_it_is_a_replay() -> None:
    double = Double()
    work = Replayed(cube, double)
    for number, x in enumerate(values(), 1):
        assert torch.equal(work(x), cube(x)) and work.recorded == (number >= 2)
    assert (double.recorded, double.replays, double.inside) == (1, 1 + 3, 0)  # one replay is the check


def test_each_result_is_in_memory_of_its_own() -> None:
    work, (first, *more) = Replayed(cube, Double()), values()
    results = [work(x) for x in (first, *more)]
    assert all(torch.equal(result, cube(x)) for result, x in zip(results, (first, *more), strict=True))
    kept = first.clone()
    work(first).zero_()
    assert torch.equal(first, kept) and torch.equal(work(first), cube(first))


def test_another_shape_or_dtype_is_done_as_ever() -> None:
    work = Replayed(cube, Double())
    for x in values():
        work(x)
    for x in (torch.arange(7.0).double(), torch.arange(4.0)):
        assert torch.equal(work(x), cube(x))
    assert work.recorded


@pytest.mark.parametrize(
    ("double", "says"),
    [
        (Double(pays=False), ""),
        (Double(fails=RuntimeError("operation not permitted when stream is capturing\nmore")), "stream is capturing"),
        (Double(fails=torch.OutOfMemoryError("CUDA out of memory")), "memory ran out"),
        (Double(deaf=True), "its replay gives something else"),
    ],
    ids=["not worth it", "it syncs", "no memory", "another result"],
)
def test_what_cannot_be_recorded_is_done_as_ever(double: Double, says: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "landscape")
    work = Replayed(cube, double)
    assert all(torch.equal(work(x), cube(x)) for x in values())
    assert not work.recorded and double.replays <= 1 and double.inside == 0
    assert (says in caplog.text) if says else not caplog.text


def test_an_error_of_the_work_itself_is_the_caller_s() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Replayed(broken, Double())(torch.ones(2))


def test_without_a_recorder_it_is_the_work() -> None:
    assert recorder_for(torch.device("cpu")) is None
    x = torch.ones(3)
    assert Replayed(lambda x: x, None)(x) is x


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("batch_size", [4, 20])
def test_recorded_products_are_those_of_the_dense_hessian(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, decay: float
) -> None:
    doubles: list[Double] = []

    def recorder(device: torch.device) -> Double:
        doubles.append(Double())
        return doubles[-1]

    monkeypatch.setattr(operator_module, "recorder_for", recorder)
    objective = Objective(fill(mlp()), *examples(9, (1, 2, 3)), weight_decay=decay)
    H = HessianOperator(objective, batch_size=batch_size)
    eye = torch.eye(objective.n_parameters, dtype=torch.float64)
    dense = dense_hessian(objective) + decay * eye
    assert (H @ eye - dense).norm() <= 1e-13 * dense.norm()
    assert doubles[0].recorded == 1 and doubles[0].replays == len(eye) - 1 and H.products == len(eye)
    monkeypatch.undo()
    plain = HessianOperator(objective, batch_size=batch_size)
    assert torch.equal(H @ eye[:, 3], plain @ eye[:, 3])
    H.release()  # a recording leans on the graphs: it goes with them
    assert torch.equal(H @ eye[:, 3], plain @ eye[:, 3]) and torch.equal(H @ eye[:, :3], plain @ eye[:, :3])


def test_products_that_build_graphs_anew_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    double = Double()
    monkeypatch.setattr(operator_module, "recorder_for", lambda device: double)
    objective = Objective(fill(WithUnused().double()), *examples(6, (6,)))
    v = torch.ones(objective.n_parameters, dtype=torch.float64)
    H = HessianOperator(objective, keep_graphs=False)
    for _ in range(4):
        assert torch.allclose(H @ v, dense_hessian(objective) @ v, rtol=1e-12)
    assert not double.recorded
