"""One run on several devices, under torchrun: who computes what, the sums, and how all of them stop together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import LandscapeError

T = TypeVar("T")

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # as torchrun sets them
# The others wait while the first process judges a net; one that dies is noticed at once, whatever the limit.
_PATIENCE = timedelta(days=1)
_FINE, _INTERRUPTED, _FAILED = 0, 1, 2


class Lost(LandscapeError):
    """Another process of the run is gone."""


class Elsewhere(LandscapeError):
    """A failure of another process, which the first process tells about."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, of which this is number `rank` of `world`; `local` of `local_world` on its machine.

    Each takes its share of every batch; sums over all of them make one step of it. A group of one does nothing.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """How a person is told of this process."""
        return f"process {self.rank + 1} of {self.world}"

    def share(self, n: int) -> slice:
        """Return this process's part of n examples: shares follow one another, and differ by one at most."""
        return slice(n * self.rank // self.world, n * (self.rank + 1) // self.world)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by their sums over all processes: the same bits in each of them."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def together(self, call: Callable[[], T]) -> T:
        """Return what `call` does, once it has ended well in every process; else stop in all of them.

        An interruption of one is one of all, and so is a failure: the first process raises its own or tells whose it
        is, the others raise Elsewhere.
        """
        if self.world == 1:
            return call()
        caught: BaseException | None = None
        word = _FINE
        try:
            result = call()
        except KeyboardInterrupt as error:
            caught, word = error, _INTERRUPTED
        except Exception as error:  # noqa: BLE001  # raised again below, once the others know
            caught, word = error, _FAILED
        worst = torch.tensor(word)
        _all_reduce(worst, "MAX")
        if worst == _FINE:
            return result
        if worst == _FAILED:
            words: list[Any] = [None] * self.world
            with _heard():
                dist.all_gather_object(words, str(caught) if word == _FAILED else None)
            if word == _FAILED and (self.leads or not isinstance(caught, LandscapeError)):
                raise caught  # type: ignore[misc]  # it is an exception: this process failed
            teller = next(rank for rank, said in enumerate(words) if said is not None)
            raise Elsewhere(f"process {teller + 1} of {self.world}: {words[teller]}") from caught
        raise caught or KeyboardInterrupt("interrupted")

    def from_first(self, call: Callable[[], T]) -> T:
        """Return what `call` returns in the first process, which alone makes it."""
        found = [self.together(lambda: call() if self.leads else None)]
        if self.world > 1:
            with _heard():
                dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
        return found[0]  # type: ignore[return-value]  # the others have it by now

    def in_turn(self, call: Callable[[], T]) -> T:
        """Return what `call` returns here, made in the first process before the others: it may fill their cache."""
        first = self.together(lambda: call() if self.leads else None)
        others = self.together(lambda: None if self.leads else call())
        return first if self.leads else others  # type: ignore[return-value]  # each has its own

    @contextlib.contextmanager
    def synchronised(self, model: nn.Module) -> Iterator[None]:
        """Let every BatchNorm in train mode take the statistics of the whole batch, and not those of this share."""
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)] if self.world > 1 else []
        try:
            for norm in norms:
                norm.forward = partial(_whole_batch_norm, norm)  # type: ignore[method-assign]
            yield
        finally:
            for norm in norms:
                del norm.forward  # the class's own comes back


ALONE = Group()


def found_group() -> Group:
    """Return the group that torchrun's environment tells of; ALONE without one."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return ALONE
    words = [os.environ.get(name, "0") for name in _VARIABLES]
    told = ", ".join(f"{name}={word}" for name, word in zip(_VARIABLES, words, strict=True))
    if not all(word.isdecimal() for word in words) or not int(words[0]) < int(words[1]):
        raise LandscapeError(
            f"the environment tells of no group of processes ({told}); "
            "start them with torchrun --nproc-per-node N -m landscape train ..., or unset RANK and WORLD_SIZE"
        )
    return Group(*map(int, words)) if int(words[1]) > 1 else ALONE


@contextlib.contextmanager
def one_voice(group: Group) -> Iterator[None]:
    """Let the first process tell what happened to all; what happened to another one alone has its name."""
    try:
        yield
    except (KeyboardInterrupt, Elsewhere) as error:
        if group.leads:
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else error.exit_code) from error
    except LandscapeError as error:
        if group.leads:
            raise
        raise LandscapeError(f"{group.name}: {error}") from error


@contextlib.contextmanager
def joined(group: Group) -> Iterator[Group]:
    """Hold the processes of a group together: gloo for what lies on the CPU, NCCL for CUDA devices."""
    if group.world == 1:
        yield group
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, rank=group.rank, world_size=group.world, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise LandscapeError(
            f"the {group.world} processes did not find one another ({_reason(error)}); "
            "start them with torchrun --nproc-per-node N -m landscape train ..."
        ) from error
    try:
        yield group
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient, since each process's loss has a share in it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        _all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        _all_reduce(total)
        return total


def _whole_batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Return what BatchNorm makes of x (n, C, ...), this process's share of a batch, by the statistics of all of it.

    Written out, for SyncBatchNorm has no kernel on the CPU: mean and variance by two sums over the processes, and
    autograd through both.
    """
    if not norm.training:
        return type(norm).forward(norm, x)
    norm._check_input_dim(x)
    axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    count = values.new_tensor([values.numel() // values.shape[1]])
    sums = _Sum.apply(torch.cat([values.sum(axes), count]))
    mean, total = sums[:-1] / sums[-1], sums[-1].detach()
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / total
    if norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += 1
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
            norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var), momentum)
    scale = torch.rsqrt(variance + norm.eps)
    y = centred * (scale if norm.weight is None else scale * norm.weight).view(shape)
    return (y if norm.bias is None else y + norm.bias.view(shape)).to(x.dtype)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Lost(f"another process of this run is gone ({_reason(error)})") from error


def _all_reduce(tensor: Tensor, op: str = "SUM") -> None:
    with _heard():
        dist.all_reduce(tensor, getattr(dist.ReduceOp, op))


def _reason(error: BaseException) -> str:
    # gloo's words begin with the place in its own source, and end with advice
    return str(error).partition("\n")[0].partition("] ")[2].partition(". ")[0].strip(" .") or type(error).__name__
