"""Memory: what a graph keeps is counted as one counts by hand, and running out is known by its signs."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from landscape import memory
from landscape.memory import SavedBytes, available_bytes, out_of_memory
from landscape.models import build_model
from landscape.objective import Objective
from tests.problems import examples

CPU = torch.device("cpu")


def test_each_saved_storage_counts_once() -> None:
    x = torch.rand(100, dtype=torch.float64, requires_grad=True)
    w = torch.rand(100, dtype=torch.float64, requires_grad=True)
    with SavedBytes() as saved:
        (x * w).exp().sum()
    assert saved.total == 3 * 800  # the product keeps x and w, the exponential its own result; the sum a shape only
    with SavedBytes(exclude=[w]) as saved:
        ((x * w) * w).sum()
    assert saved.total == 2 * 800  # x, and the inner product
    with SavedBytes() as saved:
        (x[:10] * x[50:60]).sum()
    assert saved.total == 800  # two views keep the one storage that they lie in


def test_the_graph_of_a_linear_net_is_counted_by_hand() -> None:
    features, classes, n = 64, 10, 8
    net = build_model("linear:bias=false", input=(1, 8, 8), classes=classes, seed=0)[0].double()
    images, labels = examples(n)
    objective = Objective(net, images, labels)
    w = objective.w0
    with SavedBytes(exclude=[w]) as saved:
        objective.first_backward(w, next(objective.batches()), create_graph=True)
    # The images, the log-probabilities (once for both passes), the loss's slopes by them, the labels: 8 bytes each.
    # The slope by the outputs would be wanted by the images alone, which ask for no gradient. Scalars may come on top.
    by_hand = 8 * n * (features + 2 * classes + 1)
    assert by_hand <= saved.total <= by_hand + 100


def test_counting_keeps_nothing_alive() -> None:
    x = torch.rand(10, requires_grad=True)
    with SavedBytes():
        y = x.exp()
        alive = weakref.ref(y)
        y.sum().backward()
    del y
    gc.collect()
    assert alive() is None


def test_gradients_through_a_counted_graph_are_right_twice() -> None:
    x = torch.rand(10, dtype=torch.float64, requires_grad=True)
    with SavedBytes():
        (first,) = torch.autograd.grad(x.exp().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(second, x.detach().exp())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: ..."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_the_signs_of_running_out(error: BaseException, verdict: bool) -> None:
    assert out_of_memory(error) is verdict


def test_the_allocator_still_says_what_is_listened_for() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value)


def test_a_group_s_limit_counts_where_it_is_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine:
        available = 10**9

    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Machine)
    texts: dict[str, str] = {}

    def read(self: Path, *args: Any, **kwargs: Any) -> str:
        key = str(self).removeprefix("/sys/fs/cgroup/")
        if key not in texts:
            raise FileNotFoundError(key)
        return texts[key]

    monkeypatch.setattr(Path, "read_text", read)
    assert available_bytes(CPU) == 10**9
    texts.update({"memory.max": "max\n", "memory.current": "5\n"})
    assert available_bytes(CPU) == 10**9
    texts["memory.max"] = "700\n"
    assert available_bytes(CPU) == 695
    texts.clear()
    texts.update({"memory/memory.limit_in_bytes": "90\n", "memory/memory.usage_in_bytes": "20\n"})
    assert available_bytes(CPU) == 70
