"""How much memory is free, what a graph takes, and what to do when it runs out."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
import torch
from torch import Tensor

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def available_bytes(device: torch.device) -> int:
    """Return the bytes that a computation on this device can still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = int(psutil.virtual_memory().available)
    limit = _cgroup_headroom()
    return free if limit is None else min(free, limit)


def peak_bytes(device: str) -> int:
    """Return the most bytes that this process has held so far: on a CUDA device in tensors, else in all."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def keep_freed_memory() -> bool:
    """Let glibc keep the memory that is freed for whoever asks next, and say whether it now does; others are let be.

    As it comes, it gives large blocks back to the kernel and asks for them anew, zeroed page by page: a quarter of the
    CPU time of an attack on a small net. What is kept stays this process's until it ends, so only a command calls this.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    # Sizes are C ints. Blocks up to 1 GiB come from the heap, which grows by 256 MiB and never shrinks; pages that
    # nobody has touched take no memory.
    settings = ((_M_MMAP_THRESHOLD, 2**30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28))
    library = ctypes.CDLL(None)
    answers = [library.mallopt(name, size) for name, size in settings]  # all are set, whatever one of them answers
    return all(answer == 1 for answer in answers)


def _cgroup_headroom(root: Path = Path("/")) -> int | None:
    """Return the least room in this process's group and in those around it; None where there is no limit."""
    # In a container or under a batch system the limit is the group's, which psutil does not see.
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return None
    rooms = []
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = top / place.lstrip("/")  # in a container the path may be the host's, and only the top be there
        rooms += [_room(group, *names) for group in (own, *own.parents) if group.is_relative_to(top)]
    return min((room for room in rooms if room is not None), default=None)


def _room(group: Path, limit: str, used: str, reclaimable: str) -> int | None:
    try:
        most, now = int((group / limit).read_text()), int((group / used).read_text())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None
    cached = 0  # of files read: the kernel gives it up when memory is asked for
    with contextlib.suppress(OSError, ValueError, KeyError):
        cached = int(dict(line.split() for line in (group / "memory.stat").read_text().splitlines())[reclaimable])
    return most - now + min(cached, now)


def out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator raises a plain RuntimeError; its words are all there is to know it by.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class SavedBytes:
    """Count the bytes that autograd keeps for backward, each storage once: a context around forward and backward."""

    def __init__(self, exclude: Iterable[Tensor] = ()) -> None:
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in exclude}
        # Saved tensors stay referenced until the count is read: a freed storage's address could come again.
        self._held: list[Tensor] = []
        self.total = 0

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._held.append(tensor.detach())
            self.total += storage.nbytes()
        return tensor

    def __enter__(self) -> SavedBytes:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.__exit__(*exception)
        self._held.clear()
