"""What the default traces of a run cost: two runs side by side, one with them, step by step."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from landscape.borrow import full_precision, in_mode
from landscape.data import ImageData
from landscape.training import Recipe
from landscape.training.recorder import Recorder, cheap_halves
from landscape.training.trainer import Trainer


@dataclass
class Added:
    """CPU seconds that the traces add to steps taken in pairs, one with them and one without, one after the other."""

    period: int  # steps from a row with half-batches to the next
    step: float  # without traces
    row: list[float]  # added by a row
    halves: list[float]  # added by a row with half-batches
    within: float  # a step, in the recorder's own calls: steadier than a difference, and without what they do to caches

    @property
    def share(self) -> float:
        """What a period adds, over the period."""
        rows, halves = statistics.median(self.row), statistics.median(self.halves)
        return ((self.period - 1) * rows + halves) / (self.period * self.step)

    def told(self) -> str:
        """Say what it is made of."""
        parts = [
            f"{100 * statistics.median(values) / self.step:.2f} % {name} (median of {len(values)} pairs)"
            for name, values in (("by a row", self.row), (f"by each {self.period}th, with half-batches", self.halves))
        ]
        return f"added to a step: {', '.join(parts)}; in the recorder's own calls {100 * self.within / self.step:.2f} %"


class Timed(Recorder):
    """A recorder that knows the CPU seconds of its calls."""

    taken = 0.0

    def first_half(self, *given: Any, **named: Any) -> Any:
        """Return what a recorder does."""
        return self._timed(super().first_half, *given, **named)

    def record(self, *given: Any, **named: Any) -> None:
        """Do what a recorder does."""
        self._timed(super().record, *given, **named)

    def _timed(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return call(*given, **named)
        finally:
            self.taken += time.process_time() - began


def trace_cost(net: nn.Module, data: ImageData, recipe: Recipe, *, periods: int) -> Added:
    """Return what the default traces add to a step, over `periods` periods of their rows.

    Two runs go on side by side, step by step, so that whatever else the machine does weighs on both; the first step,
    which proves the twin, is not counted.
    """
    period = cheap_halves(recipe)
    data = first_examples(data, (1 + period * periods) * recipe.batch_size)
    plain, traced = (
        Trainer(copy.deepcopy(net), data, recipe.resolved(data.spec), device="cpu") for _ in ("plain", "traced")
    )
    recorder = Timed(traced.model, steps_per_epoch=len(traced.bounds), halves_every=period)
    traced.recorder = recorder
    seconds: dict[Trainer, list[float]] = {plain: [], traced: []}
    with full_precision(), in_mode(plain.model, training=True), in_mode(traced.model, training=True):
        for trainer in seconds:
            trainer._begin_epoch()
        for step in range(len(plain.bounds)):
            for trainer in (plain, traced) if step % 2 else (traced, plain):
                began = time.process_time()
                trainer._advance()
                seconds[trainer].append(time.process_time() - began)
            if step == 0:
                recorder.taken = 0.0
    pairs = list(enumerate(zip(seconds[plain], seconds[traced], strict=True)))[1:]
    return Added(
        period=period,
        step=statistics.median(seconds[plain][1:]),
        row=[more - less for step, (less, more) in pairs if step % period],
        halves=[more - less for step, (less, more) in pairs if step % period == 0],
        within=recorder.taken / len(pairs),
    )


def first_examples(data: ImageData, n: int) -> ImageData:
    """Return the first n examples of a split."""
    return replace(data, images=data.images[:n], labels=data.labels[:n])
