"""The processes of a run, of which this is one: who computes what, the sums, and how all of them stop together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import LandscapeError
from .batchnorm import whole_batch_norm
from .bond import Bond
from .queue import Queue
from .wire import Elsewhere, all_gather_objects, all_reduce, broadcast_object, gather_objects

T = TypeVar("T")
Task = TypeVar("Task")

_FINE, _INTERRUPTED, _FAILED = 0, 1, 2
_SHOWN = 24  # characters of a setting in a message: a hash is told by fewer


@dataclass(frozen=True)
class Group:
    """The processes of a run, of which this is number `rank` of `world`; `local` of `local_world` on its machine.

    Each takes its share of every batch; sums over all of them make one step of it. A group of one does nothing.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1
    link: Bond | None = field(default=None, compare=False, repr=False)

    @property
    def bond(self) -> Bond:
        """What holds the processes of a run together, once they have joined."""
        assert self.link is not None
        return self.link

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
        all_reduce(flat)
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
        all_reduce(worst, "MAX")
        if worst == _FINE:
            return result
        if worst == _FAILED:
            words = all_gather_objects(str(caught) if word == _FAILED else None, self.world)
            if word == _FAILED and (self.leads or not isinstance(caught, LandscapeError)):
                raise caught  # type: ignore[misc]  # it is an exception: this process failed
            teller = next(rank for rank, said in enumerate(words) if said is not None)
            raise Elsewhere(f"process {teller + 1} of {self.world}: {words[teller]}") from caught
        raise caught or KeyboardInterrupt("interrupted")

    def from_first(self, call: Callable[[], T]) -> T:
        """Return what `call` returns in the first process, which alone makes it."""
        found = self.together(lambda: call() if self.leads else None)
        return broadcast_object(found) if self.world > 1 else found  # type: ignore[return-value]  # the others have it

    def in_turn(self, call: Callable[[], T]) -> T:
        """Return what `call` returns here, made in the first process before the others: it may fill their cache."""
        first = self.together(lambda: call() if self.leads else None)
        others = self.together(lambda: None if self.leads else call())
        return first if self.leads else others  # type: ignore[return-value]  # each has its own

    def gather(self, own: T) -> list[T]:
        """Return what each process gave, in their order, in the first; nothing in the others."""
        return [own] if self.world == 1 else gather_objects(own, self.world, leads=self.leads)

    def agree(self, what: Mapping[str, Any]) -> None:
        """Raise LandscapeError unless all processes give the same: files by their hashes, settings, devices."""
        if self.world == 1:
            return
        told = all_gather_objects({name: repr(value) for name, value in what.items()}, self.world)
        for rank, theirs in enumerate(told):
            for name, value in told[0].items():
                if theirs.get(name) != value:
                    raise self.apart(rank, name, str(theirs.get(name)), value)

    def apart(self, rank: int, name: str, theirs: str, own: str) -> LandscapeError:
        """Return the error of a process that has something else than the first: the first one tells about it."""
        kind = LandscapeError if self.leads else Elsewhere
        first, other = (word if len(word) <= _SHOWN else f"{word[:_SHOWN]}..." for word in (own, theirs))
        return kind(
            f"the processes of this run differ in {name}: {first} in process 1 of {self.world}, {other} in process "
            f"{rank + 1}; give all of them the same files, options, devices and versions"
        )

    def shared_out(
        self, tasks: Sequence[Task], work: Callable[[Task], T], *, tick: Callable[[], None] | None = None
    ) -> Iterator[tuple[int, T]]:
        """Yield (i, work(tasks[i])) of every task in every process; whoever is free takes the next one.

        The first process has each as soon as it is done, in any order; the others have all of them in the end. `tick`
        is called between tasks, and may raise. All processes make this call, with the same tasks.
        """
        if self.world == 1 or not tasks:
            for number, task in enumerate(tasks):
                yield number, work(task)
            return
        queue = Queue(self.bond, tasks, work, tick or (lambda: None))
        yield from queue.lead() if self.leads else queue.follow()

    @contextlib.contextmanager
    def synchronised(self, model: nn.Module) -> Iterator[None]:
        """Let every BatchNorm in train mode take the statistics of the whole batch, and not those of this share."""
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)] if self.world > 1 else []
        try:
            for norm in norms:
                norm.forward = partial(whole_batch_norm, norm)  # type: ignore[method-assign]
            yield
        finally:
            for norm in norms:
                del norm.forward  # the class's own comes back


ALONE = Group()
