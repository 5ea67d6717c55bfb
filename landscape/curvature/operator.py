"""The Hessian of an objective at one point of weight space, as a matrix that is only ever multiplied."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..borrow import evaluating, full_precision, twice_differentiable
from ..capture import Replayed, recorder_for, running
from ..errors import LandscapeError, UsageError
from ..memory import SavedBytes, available_bytes, out_of_memory
from ..objective import Batch, Objective
from .first_convolution import OnData

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

_log = logging.getLogger(__name__)

_CUDA_BATCH = 4096
_CPU_GRAPH = 40 * 2**20  # bytes of one micro-batch's graph: larger ones leave the caches (ResNet18: 16 beats 64 by 1.2)
_PROBE = 8  # examples in the larger of the two graphs that are measured to plan the others


@dataclass(frozen=True)
class _Graph:
    leaves: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]


class HessianOperator:
    """The Hessian H (P, P) at w (P,) of the mean loss over fixed examples: `H @ v` for v (P,) or (P, m).

    A product differentiates <gradient, v> once more (Pearlmutter 1994), exactly, weighted by example, the short last
    batch included. The graphs of the first backward pass do not depend on v: those of as many batches as memory allows
    are kept, the rest are built again for each product (the same arithmetic, bit for bit, at 1.5 times the time).
    An adversary must be frozen: `HessianOperator(objective.freeze(), w)`. For ReLU nets H exists almost everywhere.
    """

    def __init__(
        self,
        objective: Objective,
        w: Tensor | None = None,
        *,
        batch_size: int | None = None,
        keep_graphs: bool = True,
        memory_budget: int | None = None,
    ) -> None:
        if objective.attack is not None:
            raise UsageError("this objective attacks anew at every point; give HessianOperator objective.freeze(w)")
        self.objective = objective
        self.w = (objective.w0 if w is None else w).to(objective.device, objective.dtype)
        self.device, self.dtype = objective.device, objective.dtype
        self.products = 0
        self.reserved = 0  # bytes on the device that are somebody's, though they are not taken yet
        self._budget = memory_budget
        self._keep_graphs = keep_graphs
        self._batch_size = batch_size
        self._graphs: dict[int, _Graph] = {}
        self._recorder = recorder_for(self.device)
        self._replayed = Replayed(partial(_product, self.objective, self._graphs), self._recorder)
        self._planned = False
        self._n_kept = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self.objective.n_parameters, self.objective.n_parameters

    @property
    def batch_size(self) -> int:
        """Examples per micro-batch: changes memory and speed only."""
        self._plan()
        assert self._batch_size is not None
        return self._batch_size

    @property
    def n_batches(self) -> int:
        """Number of micro-batches, the short last one included."""
        return -(-self.objective.n // self.batch_size)

    @property
    def n_kept(self) -> int:
        """Number of micro-batches whose graphs are kept between products."""
        self._plan()
        return min(self._n_kept, self.n_batches)

    def __matmul__(self, v: Tensor) -> Tensor:
        """Return Hv (P,) for v (P,), or HV (P, m) for V (P, m), in the dtype of v."""
        if not isinstance(v, Tensor) or not v.is_floating_point():
            came = f"a tensor of {v.dtype}" if isinstance(v, Tensor) else type(v).__name__
            raise UsageError(f"H @ v takes a floating-point tensor, {came} came; try torch.as_tensor(v, dtype=H.dtype)")
        if v.dim() not in (1, 2) or v.shape[0] != self.shape[0]:
            raise UsageError(
                f"a vector of shape {tuple(v.shape)} came; wanted ({self.shape[0]},) or ({self.shape[0]}, m)"
            )
        rows = v.detach().reshape(self.shape[0], -1).T.to(self.device, self.dtype)
        while True:
            try:
                products = self._multiply(rows)
                break
            except Exception as error:
                if not out_of_memory(error):
                    raise
            self._shrink()  # outside the handler: the traceback would hold the tensors that must go
        self.products += len(rows)
        return products.T.reshape(v.shape).to(v.dtype)

    def _multiply(self, rows: Tensor) -> Tensor:
        self._plan()
        totals = self.objective.weight_decay * rows
        all_kept = self._n_kept >= self.n_batches
        with evaluating(self.objective.model), full_precision(), twice_differentiable(), running(self._recorder):
            for number, batch in enumerate(self.objective.batches(self.batch_size)):
                graph = self._graphs.get(number)
                if graph is None:
                    graph = self._build(batch)
                    if number < self._n_kept:
                        self._graphs[number] = graph
                for total, row in zip(totals, rows, strict=True) if not all_kept else ():
                    total += _second_backward(self.objective, graph, row)
            for total, row in zip(totals, rows, strict=True) if all_kept else ():
                total.copy_(self._replayed(row))
        return totals

    def _build(self, batch: Batch) -> _Graph:
        with OnData():
            return _Graph(*self.objective.first_backward(self.w, batch, create_graph=True))

    def _plan(self) -> None:
        if self._planned:
            return
        n = self.objective.n
        fixed, per_example = self._graph_bytes()
        free = max(available_bytes(self.device) - self.reserved, 0)
        budget = free // 2 if self._budget is None else self._budget
        if self._batch_size is None:
            most, room = (
                (_CUDA_BATCH, budget // 4) if self.device.type == "cuda" else (self.objective.batch_size, _CPU_GRAPH)
            )
            self._batch_size = max(1, min(most, (room - fixed) // max(1, per_example)))
        self._batch_size = min(self._batch_size, n)
        self._n_kept = budget // max(1, fixed + per_example * self._batch_size) if self._keep_graphs else 0
        self._planned = True
        _log.info("products: %d micro-batches of %d examples, %d kept", self.n_batches, self._batch_size, self.n_kept)

    def _graph_bytes(self) -> tuple[int, int]:
        """Return the bytes that every kept graph takes (gradients, as large as the net), and those of each example."""
        larger = min(_PROBE, self.objective.n)
        smaller = max(1, larger // 4)
        most, least = self._measure_graph(larger), self._measure_graph(smaller)
        per_example = -(-(most - least) // max(1, larger - smaller))
        return most - per_example * larger, per_example

    def _measure_graph(self, examples: int) -> int:
        batch = next(self.objective.batches(examples))
        saved = SavedBytes(exclude=[self.w])
        with evaluating(self.objective.model), full_precision(), twice_differentiable(), saved:
            self._build(batch)
        return saved.total

    def _shrink(self) -> None:
        self.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._planned:  # not even the graph that was to be measured: no plan but small batches, none kept
            self._batch_size = min(self._batch_size or _PROBE, _PROBE, self.objective.n)
            self._n_kept, self._planned = 0, True
        assert self._batch_size is not None
        if self._batch_size == 1 and self._n_kept == 0:
            raise LandscapeError(
                f"memory ran out in a Hessian product of one example ({self.shape[0]:,} parameters on {self.device}); "
                "take a smaller net, or --device with more memory"
            )
        # Half the examples at a time, and graphs kept for half as many.
        self._n_kept = min(self._n_kept, self.n_batches) if self._batch_size > 1 else self._n_kept // 2
        self._batch_size = max(1, self._batch_size // 2)
        _log.info("memory ran out; going on with %d micro-batches of %d examples", self.n_batches, self._batch_size)

    def release(self) -> None:
        """Let the kept graphs go; the next product builds them again."""
        self._graphs.clear()
        self._replayed = Replayed(partial(_product, self.objective, self._graphs), self._recorder)

    def to_scipy(self) -> LinearOperator:
        """Return H as a SciPy LinearOperator, float64 outside, the objective's precision inside."""
        from scipy.sparse.linalg import LinearOperator

        def multiply(v: np.ndarray) -> np.ndarray:
            product: np.ndarray = (self @ torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))).cpu().numpy()
            return product

        # ARPACK wants float64; products stay in the objective's precision.
        return LinearOperator(self.shape, matvec=lambda v: multiply(v.reshape(-1)), matmat=multiply, dtype=np.float64)


def _product(objective: Objective, graphs: Mapping[int, _Graph], row: Tensor) -> Tensor:
    """Return the product (P,) with one vector (P,) through the graphs of all batches, in their order."""
    total = objective.weight_decay * row
    for number in range(len(graphs)):
        total += _second_backward(objective, graphs[number], row)
    return total


def _second_backward(objective: Objective, graph: _Graph, row: Tensor) -> Tensor:
    # A parameter that the loss does not use, or uses linearly, has a gradient without a graph: no curvature.
    pairs = [(g, v) for g, v in zip(graph.gradients, objective.space.split(row), strict=True) if g.requires_grad]
    if not pairs:
        return torch.zeros_like(row)
    gradients, vectors = zip(*pairs, strict=True)
    pieces = torch.autograd.grad(gradients, graph.leaves, vectors, retain_graph=True, materialize_grads=True)
    return torch.cat([piece.reshape(-1) for piece in pieces])
