"""An objective whose examples several processes share: each has its own, and the sums are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from .curvature import HessianOperator
from .distributed import Group, everywhere
from .distributed.everywhere import enrol, serve
from .errors import UsageError
from .objective import Objective


def shared(objective: Objective, group: Group) -> Objective:
    """Return the objective with its examples shared over the processes of a group, in the first of them.

    In the others this call helps until the first is done, and raises Dismissed then: `distributed.led` is around it.
    """
    if group.world == 1:
        return objective
    own = SharedObjective(objective, group, torch.arange(objective.n)[group.share(objective.n)])
    if group.leads:
        return own
    return _help(own)


def _help(own: SharedObjective) -> NoReturn:
    serve(own.group, own.device)


def whole(objective: Objective) -> Objective:
    """Return the objective of all examples in this process alone."""
    return objective.alone if isinstance(objective, SharedObjective) else objective


class SharedObjective(Objective):
    """The mean over n examples, of which this process has those at `places` (m,), its share: m may be zero.

    The first process calls, and each of the others does the same with its share (`distributed.everywhere`). What is
    found of single examples is gathered by the first, in their order; sums come to all. `alone` is the same objective
    of all n examples in this process; in the others than the first, its images are not kept up to date by `freeze`.
    """

    def __init__(self, alone: Objective, group: Group, places: Tensor, own: Objective | None = None) -> None:
        self.__dict__.update(alone.__dict__)
        self.alone, self.group, self.places = alone, group, places
        self.own = own if own is not None or not len(places) else alone.part(places)
        self.weight = len(places) / alone.n
        self.number = enrol(group, self)

    @everywhere
    def outputs(self, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the net's outputs (n, ...) and the losses (n,) at w (P,), in the order of the examples."""
        outputs, losses = self._gathered(lambda own: own.outputs(w))
        return outputs, losses

    @everywhere
    def gradient(self, w: Tensor | None = None) -> Tensor:
        """Return the gradient (P,) of the mean loss at w (P,), the adversary held where it is at w (Danskin)."""
        total = self._mine(lambda own: own.gradient(w) * self.weight)
        total = self.w0.new_zeros(self.n_parameters) if total is None else total
        self.group.sum([total])
        return total

    @everywhere
    def by_example(self, function: Callable[..., tuple[Tensor, ...]], *arguments: Any) -> tuple[Tensor, ...]:
        """Return what `function(objective, *arguments)` finds of each example, each (n, ...), in their order."""
        return self._gathered(lambda own: function(own, *arguments))

    @everywhere
    def freeze(self, w: Tensor | None = None, *, progress: Callable[[int, int], None] | None = None) -> SharedObjective:
        """Return the objective whose adversarial images are fixed at those of w (P,), or of the net's own weights."""
        if self.attack is None:
            return self
        own = self._mine(lambda own: own.freeze(w, progress=progress))
        (images,) = self._collected(None if own is None else (own.images,)) or (self.images,)
        return SharedObjective(self.alone._over(images, self.labels, self.indices), self.group, self.places, own)

    @everywhere
    def unattacked(self) -> SharedObjective:
        """Return the objective of the same examples without an adversary."""
        return SharedObjective(self.alone.unattacked(), self.group, self.places)

    @everywhere
    def part(self, places: Tensor) -> SharedObjective:
        """Return the objective over some of the examples, those at `places` (m,) in ascending order."""
        if not bool((places.diff() > 0).all()):
            raise UsageError("the places of a part of shared examples do not ascend; sort them")
        own = torch.isin(places, self.places)
        mine = None if self.own is None else torch.searchsorted(self.places, places[own])
        return SharedObjective(
            self.alone.part(places),
            self.group,
            own.nonzero()[:, 0],
            self.own.part(mine) if self.own is not None and mine is not None and len(mine) else None,
        )

    def hessian(
        self, w: Tensor | None = None, *, batch_size: int | None = None, keep_graphs: bool = True
    ) -> SharedOperator:
        """Return the Hessian (P, P) at w (P,) of a frozen objective, as a matrix that is multiplied."""
        return self._operator(w, batch_size, keep_graphs)

    @everywhere
    def _operator(self, w: Tensor | None, batch_size: int | None, keep_graphs: bool) -> SharedOperator:
        return SharedOperator(self, w, batch_size=batch_size, keep_graphs=keep_graphs)

    def _mine(self, work: Callable[[Objective], Any]) -> Any:
        """Return what `work` makes of this process's share, None without one; all fail where one fails."""
        return self.group.together(lambda: None if self.own is None else work(self.own))

    def _gathered(self, work: Callable[[Objective], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        found = self._mine(work)
        return self._collected(found) or found or ()

    def _collected(self, found: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        """Return tensors (n, ...) of all examples in the first process, of what each found of its own (m, ...)."""
        parts = self.group.gather(None if found is None else tuple(part.cpu() for part in found))
        columns = zip(*(part for part in parts if part is not None), strict=True)
        return tuple(torch.cat(column).to(self.device) for column in columns) or None


class SharedOperator(HessianOperator):
    """The Hessian of a shared objective: each process multiplies by that of its examples, and the sum is exact."""

    def __init__(
        self, objective: SharedObjective, w: Tensor | None, *, batch_size: int | None, keep_graphs: bool
    ) -> None:
        super().__init__(objective, w, batch_size=batch_size, keep_graphs=keep_graphs)
        own = objective.own
        self._own = None if own is None else own.hessian(self.w, batch_size=batch_size, keep_graphs=keep_graphs)
        self._share = objective.weight
        self.group = objective.group
        self.number = enrol(self.group, self)

    @everywhere
    def _multiply(self, rows: Tensor) -> Tensor:
        def mine() -> Tensor:
            return torch.zeros_like(rows) if self._own is None else self._share * (self._own @ rows.T).T

        totals = self.group.together(mine)
        self.group.sum([totals])
        return totals

    @everywhere
    def release(self) -> None:
        """Let the kept graphs go; the next product builds them again."""
        if self._own is not None:
            self._own.release()
