"""Work on tensors of fixed shapes, recorded once as a CUDA graph and replayed, where launching it is what it costs.

A product with the Hessian of a small net, or a step of an attack on it, is hundreds of kernels of a few microseconds
each: a GPU is done with them sooner than Python has asked for them. A replay asks once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from .memory import out_of_memory

_log = logging.getLogger(__name__)

_LAUNCH_BOUND = 0.7  # of the time of some work: launches that take more of it than this hold the device up
_ROUNDING = 1e4  # in units of the dtype's epsilon: how far a replay may be from the work itself

Work = Callable[..., Tensor]


class Recorder(Protocol):
    """What records work on a device; a double of it stands in for CUDA in the tests."""

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Hold the place (on CUDA, the stream) where work that is to be recorded must run, and all that it leans on."""

    def pays(self, work: Callable[[], Tensor]) -> bool:
        """Run the work, and say whether launching it takes most of its time."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Return what replays the work, and the tensor that each replay fills."""


class CudaRecorder:
    """Records on one CUDA device, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run on the recorder's stream: autograd goes backward where it went forward, so all in one place."""
        outside = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            outside.wait_stream(self._stream)

    def pays(self, work: Callable[[], Tensor]) -> bool:
        """Run the work, and say whether Python was busy launching it for most of the time that it took."""
        torch.cuda.synchronize(self._device)
        began = time.perf_counter()
        work()
        launched = time.perf_counter()
        torch.cuda.synchronize(self._device)
        return launched - began > _LAUNCH_BOUND * (time.perf_counter() - began)

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record the work; raise RuntimeError where it waits for the host or memory runs out."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            found = work()
        return graph.replay, found


def recorder_for(device: torch.device) -> Recorder | None:
    """Return what records work on this device; None where there is nothing to gain."""
    return CudaRecorder(device) if device.type == "cuda" else None


def running(recorder: Recorder | None) -> contextlib.AbstractContextManager[None]:
    """Hold the place where a recorder's work must run; none is anywhere."""
    return contextlib.nullcontext() if recorder is None else recorder.running()


class Replayed:
    """`work(*inputs)`, a tensor of tensors: the same result, by a replay from the third call on where that pays.

    The work is to do the same at each call, whatever the inputs hold, and not to wait for the host (`.item()`). What it
    reads beside its inputs, weights or kept graphs, must stay where it is in memory; each replay reads it anew. Work
    that cannot be recorded (it syncs, or memory runs out) or whose replay gives something else is done as ever.
    """

    def __init__(self, work: Work, recorder: Recorder | None) -> None:
        self._work = work
        self._recorder = recorder
        self._warm = False
        self._inputs: tuple[Tensor, ...] = ()
        self._tape: tuple[Callable[[], None], Tensor] | None = None

    @property
    def recorded(self) -> bool:
        """Whether calls are replays now."""
        return self._tape is not None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the work's result for these inputs, in memory of its own."""
        if self._recorder is None:
            return self._work(*inputs)
        with self._recorder.running():
            if self._tape is not None:
                return self._replay(inputs) if self._fits(inputs) else self._work(*inputs)
            result = self._work(*inputs)
            if self._warm:  # at the first call, libraries are loaded and plans are made, which no recording may hold
                self._try(self._recorder, inputs, result)
            self._warm = True
            return result

    def _fits(self, inputs: tuple[Tensor, ...]) -> bool:
        return [(i.shape, i.dtype) for i in inputs] == [(i.shape, i.dtype) for i in self._inputs]

    def _replay(self, inputs: tuple[Tensor, ...]) -> Tensor:
        assert self._tape is not None
        replay, result = self._tape
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        replay()
        return result.clone()

    def _try(self, recorder: Recorder, inputs: tuple[Tensor, ...], expected: Tensor) -> None:
        failure = self._record(recorder, inputs)
        if not failure and self._tape is not None:
            apart = float((self._replay(inputs) - expected).abs().max())
            # Not `>`: what is not a number is wrong as well.
            if not apart <= _ROUNDING * torch.finfo(expected.dtype).eps * float(expected.abs().max()):
                failure, self._tape = "its replay gives something else", None
        if self._tape is None:
            self._recorder = None
            if failure:
                _log.info("work is not recorded as a CUDA graph: %s", failure)

    def _record(self, recorder: Recorder, inputs: tuple[Tensor, ...]) -> str:
        """Record the work, if that pays; return why it could not be."""
        try:
            if recorder.pays(lambda: self._work(*inputs)):
                # Of zeros: a recording that had the inputs' values in it would be found out by its first replay.
                self._inputs = tuple(torch.zeros_like(value) for value in inputs)
                self._tape = recorder.record(lambda: self._work(*self._inputs))
        except RuntimeError as error:  # of which running out of memory is one
            return "memory ran out" if out_of_memory(error) else str(error).partition("\n")[0]
        return ""
