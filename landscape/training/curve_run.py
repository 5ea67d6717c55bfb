"""Train the control points of a curve between two nets: the trainer's own run, its state and traces kept on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data import ImageData
from ..distributed import ALONE, Group, Lost
from ..errors import LandscapeError
from ..geometry import Curve
from ..losses import Loss, cross_entropy
from .accuracy import Progress
from .batches import batch_bounds
from .curve_net import CurveNet
from .guard import Guard
from .recipe import Recipe
from .resume import check_settings, read_state, restoring, write_state
from .tracing import TraceFile, Tracing, trace_attributes
from .trainer import Trainer, check_trainable

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 60.0
_SHARE = 50  # a writing comes after so many times what the last one took, as in a session


@dataclass(frozen=True)
class CurveFiles:
    """Where a run keeps its state while it is unfinished, and its traces; `settings` are all that decide the run."""

    resume: Path
    traces: Path | None
    settings: Mapping[str, Any]
    model_spec: str
    command: str = "landscape.connect"
    overwrite: bool = False
    save_every: float = SECONDS_BETWEEN_WRITES


@dataclass(frozen=True, eq=False)
class TrainedCurve:
    """A curve whose control points were learnt, the recipe, the updates that it took, and the record of each epoch."""

    curve: Curve
    recipe: Recipe
    steps: int
    history: list[dict[str, Any]]


def curve_recipe(recipe: Recipe, *, epochs: int, data_spec: str, **changes: Any) -> Recipe:
    """Return a net's recipe for a curve: its epochs, without periods, moving average and held-out examples."""
    return replace(recipe, epochs=epochs, periods=(), ema=None, holdout=0, **changes).resolved(data_spec)


def train_curve(
    model: nn.Module,
    curve: Curve,
    data: ImageData,
    recipe: Recipe,
    *,
    device: str | torch.device | None = None,
    loss: Loss = cross_entropy,
    files: CurveFiles | None = None,
    progress: Progress | None = None,
    group: Group = ALONE,
) -> TrainedCurve:
    """Return the curve with its interior control points trained by a recipe, from where they lie; the ends stay.

    Each update has a t of its own, uniform in [0, 1], and the attack is the recipe's, on the net at that t. BatchNorm
    uses the statistics of the batch, as in Garipov et al. (2018); the attack, which runs in eval mode, takes those of
    the clean batch at that t. With `files` the run is saved whole on the way, and the same call goes on from there to
    the same bits. Of a `group` every process makes this call and takes its share of each batch; the first alone writes.
    """
    place = next(model.parameters()).device if device is None else torch.device(device)
    net = CurveNet(model, curve)
    check_trainable(net, data, recipe, processes=group.world)
    per_epoch = len(batch_bounds(len(data), recipe.batch_size))
    tracing = Tracing(probe_every=0).resolved(recipe, len(data))
    traced = files is not None and files.traces is not None
    recorder = (
        tracing.recorder(net, data, recipe, steps_per_epoch=per_epoch, loss=loss, group=group) if traced else None
    )
    trainer = Trainer(net, data, recipe, device=place, recorder=recorder, loss=loss, group=group)
    guard = Guard(recipe, data, 0, loss=loss)
    keeper = None if files is None or not group.leads else _Keeper(files, trainer, guard, tracing, data)
    if files is not None:
        state = group.from_first(lambda: None if keeper is None else keeper.begin())
        if state is not None and keeper is None:
            trainer.load_state(state)

    def on_epoch(record: dict[str, Any]) -> None:
        guard.look(net, record, trainer.step)

    try:
        trainer.run(
            progress=progress,
            before_batch=None if keeper is None else keeper.before_batch,
            on_epoch=on_epoch if group.leads else None,
        )
    except (KeyboardInterrupt, Lost):
        if keeper is not None and trainer.whole and trainer.step > 0:
            keeper.write("partial")
        raise
    if keeper is not None:
        keeper.write("complete")
    return TrainedCurve(net.curve, recipe, trainer.steps, trainer.history)


class _Keeper:
    """Saves a run whole now and then, as sessions do."""

    def __init__(self, files: CurveFiles, trainer: Trainer, guard: Guard, tracing: Tracing, data: ImageData) -> None:
        self._files, self._trainer, self._guard = files, trainer, guard
        self._began = self._written = time.monotonic()
        self._cost = 0.0
        self._traces: TraceFile | None = None
        if files.traces is not None:
            attrs = trace_attributes(
                trainer.recipe,
                tracing,
                data,
                trainer.model,
                model_spec=files.model_spec,
                checkpoint=files.resume,
                device=trainer.device,
                command=files.command,
                steps_per_epoch=len(trainer.bounds),
                tests=None,
                guard=guard,
                n_examples=len(data),
            )
            self._traces = TraceFile(files.traces, {**attrs, "checkpoint": None})

    def begin(self) -> dict[str, Any] | None:
        """Go on from what an earlier run left, and return it; raise LandscapeError where it is another run's."""
        path = self._files.resume
        if self._files.overwrite or not path.exists():
            return None
        saved, state = read_state(path)
        check_settings(path, saved, self._files.settings)
        with restoring(path):
            self._trainer.load_state(state["trainer"])
            self._guard.load_state(state["guard"])
            self._began -= state["seconds"]
        logger.warning("going on from epoch %d, batch %d (%s)", self._trainer.epoch + 1, self._trainer.batch + 1, path)
        told: dict[str, Any] = state["trainer"]
        return told

    def before_batch(self) -> None:
        since = time.monotonic() - self._written
        if since >= max(self._files.save_every, _SHARE * self._cost) and self._trainer.step > 0:
            try:
                self.write("partial")
            except LandscapeError as error:  # a full disk does not end a run that may yet find room for its result
                logger.warning("caution: the run goes on, but could not be saved on the way: %s", error)

    def write(self, status: str) -> None:
        """Save the run and its traces as they are; of a complete one, the traces alone, and its state goes."""
        began = time.monotonic()
        self._trainer.check()
        state = {
            "trainer": self._trainer.state(),
            "guard": self._guard.state(),
            "seconds": began - self._began,
        }
        write_state(self._files.resume, state, settings=self._files.settings)
        recorder = self._trainer.recorder
        if self._traces is not None and recorder is not None:
            told = {**self._trainer.recipe.to_dict(), "epoch": len(self._trainer.history)}
            self._traces.write(
                recorder, None, self._guard, status=status, training=told, wall_seconds=began - self._began
            )
        self._written = time.monotonic()
        self._cost = self._written - began
