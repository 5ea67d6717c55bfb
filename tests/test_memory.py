"""Memory: what a graph keeps is counted as one counts by hand, and running out is known by its signs."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], int]:
    """How much is free on a machine with a gigabyte, and these files under its root."""

    class Machine:
        available = 10**9

    def free(files: dict[str, str]) -> int:
        root = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        with monkeypatch.context() as patch:
            patch.setattr(memory.psutil, "virtual_memory", lambda: Machine)
            patch.setattr(memory._cgroup_headroom, "__defaults__", (root,))
            return available_bytes(CPU)

    return free


TOP, JOB, STEP = "sys/fs/cgroup/", "sys/fs/cgroup/job/", "sys/fs/cgroup/job/step/"


def test_the_tightest_of_the_groups_around_a_process_counts(system: Callable[[dict[str, str]], int]) -> None:
    assert system({}) == 10**9  # no Linux
    files = {"proc/self/cgroup": "0::/job/step\n"}
    assert system(files) == 10**9
    files |= {STEP + "memory.max": "max\n", STEP + "memory.current": "5\n"}
    assert system(files) == 10**9
    files |= {JOB + "memory.max": "700\n", JOB + "memory.current": "5\n"}
    assert system(files) == 695
    files |= {STEP + "memory.max": "600\n"}
    assert system(files) == 595
    files |= {TOP + "memory.max": "100\n", TOP + "memory.current": "90\n"}
    assert system(files) == 10


def test_files_that_the_kernel_keeps_read_take_no_room(system: Callable[[dict[str, str]], int]) -> None:
    files = {"proc/self/cgroup": "0::/\n", TOP + "memory.max": "700\n", TOP + "memory.current": "500\n"}
    assert system(files) == 200
    assert system(files | {TOP + "memory.stat": "anon 100\ninactive_file 300\nactive_file 50\n"}) == 500
    assert system(files | {TOP + "memory.stat": "inactive_file 900\n"}) == 700
    assert system(files | {TOP + "memory.stat": "anon 100\n"}) == 200


def test_groups_of_the_older_kind(system: Callable[[dict[str, str]], int]) -> None:
    """A container sees the host's path and its own top."""
    top = TOP + "memory/"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/ab12\n0::/\n",
        top + "memory.limit_in_bytes": "90\n",
        top + "memory.usage_in_bytes": "20\n",
        top + "memory.stat": "inactive_file 1\ntotal_inactive_file 5\n",
    }
    assert system(files) == 75


_ALLOCATE = """
import resource, sys
import torch
from landscape.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
x = torch.ones(2**23)  # 32 MiB: as much as glibc maps anew each time
def work():
    y = x
    for _ in range(4):
        y = y + 1
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is set is glibc's")
def test_memory_that_is_kept_is_not_asked_of_the_kernel_again() -> None:
    def faults(how: str) -> tuple[str, int]:
        command = [sys.executable, "-c", _ALLOCATE, how]
        kept, count = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return kept, int(count)

    # Mapped anew, each block costs a fault for every page, or for every huge one.
    (_, plain), (kept, few) = faults("plain"), faults("keep")
    assert kept == "True"
    assert few < plain / 4


def test_another_c_library_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not memory.keep_freed_memory()
