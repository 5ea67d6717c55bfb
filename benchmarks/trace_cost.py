"""What the default traces of a run cost: two runs side by side, one with them, step by step."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass, replace

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
        return "added to a step: " + ", ".join(parts)


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
    traced.recorder = Recorder(traced.model, steps_per_epoch=len(traced.bounds), halves_every=period)
    seconds: dict[Trainer, list[float]] = {plain: [], traced: []}
    with full_precision(), in_mode(plain.model, training=True), in_mode(traced.model, training=True):
        for trainer in seconds:
            trainer._begin_epoch()
        for step in range(len(plain.bounds)):
            for trainer in (plain, traced) if step % 2 else (traced, plain):
                began = time.process_time()
                trainer._advance()
                seconds[trainer].append(time.process_time() - began)
    pairs = list(enumerate(zip(seconds[plain], seconds[traced], strict=True)))[1:]
    return Added(
        period=period,
        step=statistics.median(seconds[plain][1:]),
        row=[more - less for step, (less, more) in pairs if step % period],
        halves=[more - less for step, (less, more) in pairs if step % period == 0],
    )


def first_examples(data: ImageData, n: int) -> ImageData:
    """Return the first n examples of a split."""
    return replace(data, images=data.images[:n], labels=data.labels[:n])
