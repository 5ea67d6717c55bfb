"""A training run with its data, its net and its files, from the first batch, or the one it was left at, to the last."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..arguments import check_outputs
from ..attacks import PGD, make_ball
from ..checkpoint import save_checkpoint
from ..data import ImageData
from ..distributed import ALONE, Group, Lost
from ..errors import LandscapeError, UsageError
from ..files import sha256_of
from ..losses import Loss, cross_entropy
from ..models import build_model
from .accuracy import Progress, judge
from .batches import batch_bounds
from .ema import Average
from .final import final_errors
from .guard import Guard
from .holdout import without
from .outputs import Outputs
from .recipe import Recipe
from .resume import check_settings, read_state, restoring, write_state
from .tracing import TestRows, TraceFile, Tracing, trace_attributes
from .trainer import Trainer, check_trainable

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES = 60.0  # what a crash can cost
_SHARE = 50  # a writing comes after so many times what the last one took: all of them stay under 2 % of the run


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A trained net in eval mode, the `training` entry of its checkpoint, and the files written, its own first."""

    model: nn.Module
    training: dict[str, Any]
    paths: list[Path]


class Session:
    """A run in progress and its files; see `landscape.training.run` for what it takes and writes."""

    def __init__(
        self,
        recipe: Recipe,
        model: str,
        train_data: ImageData,
        test_data: ImageData | None,
        outputs: Outputs,
        tracing: Tracing | None,
        *,
        device: str | torch.device,
        overwrite: bool,
        save_every: float,
        command: str,
        progress: Progress | None,
        group: Group = ALONE,
        loss: Loss = cross_entropy,
        loss_spec: str | None = None,
    ) -> None:
        self._group, self._loss = group, loss
        # The cross-entropy is not told: a run without --loss keeps its bytes.
        self._loss_told = {} if loss_spec is None else {"loss": loss_spec}
        self._began = self._written = time.monotonic()
        self._save_every, self._cost = save_every, 0.0
        self._recipe, self._outputs, self._progress = recipe, outputs, progress
        self._data, self._test_data, self._overwrite = train_data, test_data, overwrite
        self._resumed = False
        self._saved = 0  # steps done in what is saved
        self._overrides: list[dict[str, Any]] = []
        self._best: dict[str, Any] | None = None
        learnt, held = without(train_data, recipe.holdout, seed=recipe.seed)
        settings = (tracing or Tracing(probe_every=0)).resolved(recipe, len(learnt))
        self._net, self._model_spec = build_model(
            model, input=train_data.shape, classes=train_data.classes, seed=recipe.seed
        )
        check_trainable(self._net, learnt, recipe, processes=group.world)
        check_outputs(
            self._net,
            train_data.images,
            classes=train_data.classes,
            loss=loss,
            labels=train_data.labels,
            name=self._model_spec,
            data=train_data.spec,
        )
        self._tests: TestRows | None = None
        if settings.test_every > 0:
            if test_data is None:
                raise UsageError(f"{train_data.spec} has no test split; leave --test-every out")
            self._tests = TestRows(test_data, recipe, min(settings.test_examples, len(test_data)), loss)
        self._tracing, self._learnt, self._held = settings, learnt, held
        self._net.to(device)
        steps_per_epoch = len(batch_bounds(len(learnt), recipe.batch_size))
        self._guard = Guard(recipe, held if len(held) else learnt, settings.probe_every or 0, loss=loss)
        self._guard.check_labels(learnt.labels, learnt.classes)
        self._trainer = Trainer(
            self._net,
            learnt,
            recipe,
            device=device,
            recorder=None
            if tracing is None
            else settings.recorder(self._net, learnt, recipe, steps_per_epoch=steps_per_epoch, group=group, loss=loss),
            average=None if recipe.ema is None else Average(self._net, recipe.ema),
            group=group,
            loss=loss,
        )
        self._trace_file: TraceFile | None = None
        if outputs.traces is not None:
            attrs = trace_attributes(
                recipe,
                settings,
                train_data,
                self._net,
                model_spec=self._model_spec,
                checkpoint=outputs.out,
                device=device,
                command=command,
                steps_per_epoch=steps_per_epoch,
                tests=self._tests,
                guard=self._guard,
                n_examples=len(learnt),
            )
            told = {} if loss_spec is None else {"loss_function": loss_spec}
            self._trace_file = TraceFile(outputs.traces, {**attrs, **told})
        self.settings = {
            **recipe.to_dict(),
            **self._loss_told,
            "model": self._model_spec,
            "data": train_data.spec,
            "data_sha256": train_data.sha256,
            "test_data": test_data is not None,
            "save_epochs": list(outputs.epochs),
            "keep_best": outputs.best is not None,
            "traces": None if tracing is None else [settings.every, settings.halves, settings.probe_every],
            "trace_extras": [*settings.extras, settings.extras_every] if settings.extras else [],
            "test_rows": [settings.test_every, settings.test_examples],
        }

    def resume(self, *, force_lr: float | None = None) -> None:
        """Go on from NAME.resume.pt; raise LandscapeError, naming the difference, where it is another run's."""
        path = self._outputs.resume
        state = self._group.from_first(self._read_state)
        with restoring(path):
            self._trainer.load_state(state["trainer"])
            self._guard.load_state(state["guard"])
            if self._tests is not None:
                self._tests.load_state(state["tests"])
            self._best, self._overrides = state["best"], list(state["overrides"])
            self._began -= state["seconds"]
        self._resumed = self._overwrite = True
        self._saved = self._trainer.step
        lr = next((override["lr"] for override in reversed(self._overrides) if "lr" in override), self._recipe.lr)
        changed = {name: now for name, now in self._where().items() if now != state["where"].get(name, now)}
        if force_lr is not None and force_lr != lr:
            changed["lr"] = lr = force_lr
        if changed:  # from here on the run is not the one that would have been: it says so
            at = {"epoch": self._trainer.epoch + 1, "batch": self._trainer.batch + 1}
            self._overrides.append({**at, **changed})
        self._recipe = self._trainer.recipe = replace(self._recipe, lr=lr)
        logger.warning("going on from epoch %d, batch %d (%s)", self._trainer.epoch + 1, self._trainer.batch + 1, path)

    def _read_state(self) -> dict[str, Any]:
        path = self._outputs.resume
        saved, state = read_state(path)
        check_settings(path, saved, self.settings)
        with restoring(path):
            over = state["overwrite"] or state["trainer"]["epoch"] == self._recipe.epochs
        if self._outputs.out.exists() and not over:
            raise LandscapeError(f"{self._outputs.out} exists and is kept; give --overwrite, or another --out")
        self._save(self._outputs.epochs[0], overwrite=True)  # the weights that it began with: here they are once more
        return state

    def run(self) -> TrainingRun:
        """Train to the end, write what the run has to, and return it."""
        trainer, outputs = self._trainer, self._outputs
        if not self._group.leads:
            self._group.together(lambda: None)
            trainer.run(progress=self._progress)
            return TrainingRun(self._net.eval(), self._training(), [])
        self._group.together(lambda: None if self._resumed else self._begin())
        try:
            trainer.run(progress=self._progress, before_batch=self._before_batch, on_epoch=self._on_epoch)
            self._test(last=True)
            self._net.eval()
            final = self._judged()
        except BaseException as error:
            self._leave(error)
            raise
        self._write()  # with the run at its end: whatever happens from here on, the files may be written again
        if outputs.ema is not None and trainer.average is not None:
            with trainer.average.in_place():
                self._save(outputs.ema, final=self._judged())
        self._save(outputs.out, final=final)
        self._write_traces("complete", final, sha256_of(outputs.out))
        outputs.resume.unlink(missing_ok=True)
        return TrainingRun(self._net, self._training(final=final), outputs.paths)

    def _begin(self) -> None:
        self._write_state()  # first: a run that is killed at once goes on too, and is in nobody's way
        self._save(self._outputs.epochs[0])

    def _judged(self) -> dict[str, Any]:
        return final_errors(
            self._net,
            self._learnt,
            self._test_data,
            self._recipe,
            device=self._trainer.device,
            loss=self._loss,
            progress=self._progress,
        )

    def _training(self, record: dict[str, Any] | None = None, final: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the `training` entry of a checkpoint; `record` is of an epoch that ends just now."""
        history = [*self._trainer.history, *([] if record is None else [record])]
        entry = {
            **self._recipe.to_dict(),
            **self._loss_told,
            "epoch": len(history),
            "history": history,
            "final": final or {},
        }
        told = {"overrides": self._overrides, "guard": self._guard.standing(), "best": self._best}
        return {**entry, **{name: value for name, value in told.items() if value}}

    def _save(
        self,
        path: Path,
        record: dict[str, Any] | None = None,
        final: dict[str, Any] | None = None,
        *,
        overwrite: bool | None = None,
    ) -> None:
        save_checkpoint(
            path,
            self._net,
            model_spec=self._model_spec,
            data_spec=self._data.spec,
            training=self._training(record, final),
            overwrite=self._overwrite if overwrite is None else overwrite,
        )

    def _before_batch(self) -> None:
        self._test()
        trainer, since = self._trainer, time.monotonic() - self._written
        between = trainer.batch > 0 or trainer.epoch == 0
        due = since >= self._save_every or not between
        if due and trainer.step > 0 and (self._save_every == 0 or since >= _SHARE * self._cost):
            self._write()

    def _on_epoch(self, record: dict[str, Any]) -> None:
        self._guard.look(self._net, record, self._trainer.step, progress=self._progress)
        if self._outputs.best is not None:
            self._choose(record)
        if record["epoch"] in self._outputs.epochs:
            self._save(self._outputs.epochs[record["epoch"]], record)

    def _choose(self, record: dict[str, Any]) -> None:
        """Keep the net of this epoch where its robust error on the held-out examples is the lowest so far.

        Where nothing is right or wrong it is the robust loss.
        """
        attack = PGD(make_ball(self._recipe.norm, self._recipe.eps)) if self._recipe.eps > 0 else None
        device, seed = self._trainer.device, self._recipe.seed
        found = judge(self._net, self._held, attack, seed=seed, device=device, loss=self._loss, progress=self._progress)
        name, value = "error", found.error
        if math.isnan(value):
            name, value = "loss", found.loss
        if self._best is None or value < self._best[f"holdout_robust_{name}"]:
            assert self._outputs.best is not None
            before, self._best = self._best, {"epoch": record["epoch"], f"holdout_robust_{name}": value}
            try:
                self._save(self._outputs.best, record, overwrite=self._overwrite or before is not None)
            except BaseException:
                self._best = before
                raise

    def _test(self, *, last: bool = False) -> None:
        step, tests = self._trainer.step, self._tests
        if tests is not None and step not in tests.rows and (last or step % self._tracing.test_every == 0):
            tests.judge(self._net, step, self._trainer.eps, progress=self._progress)

    def _where(self) -> dict[str, Any]:
        where = {"device": self._trainer.device.type, "torch": str(torch.__version__)}
        return {**where, "processes": self._group.world}

    def _write(self) -> None:
        """Save the run whole, and its traces."""
        began = time.monotonic()
        self._trainer.check()
        if not self._trainer.finite():
            return  # the loss of the next batch will say so; what was saved before is worth more
        try:
            self._write_state()
            self._write_traces("partial")
        except LandscapeError as error:  # a full disk does not end a run that may yet find room for its result
            logger.warning("caution: the run goes on, but could not be saved on the way: %s", error)
        self._written = time.monotonic()
        self._cost = self._written - began

    def _write_state(self) -> None:
        state = {
            "trainer": self._trainer.state(),
            "guard": self._guard.state(),
            "tests": [] if self._tests is None else self._tests.state(),
            "best": self._best,
            "overrides": self._overrides,
            "overwrite": self._overwrite,
            "seconds": time.monotonic() - self._began,
            "where": self._where(),
        }
        write_state(self._outputs.resume, state, settings=self.settings)
        self._saved = self._trainer.step

    def _write_traces(self, status: str, final: dict[str, Any] | None = None, sha256: str | None = None) -> None:
        if self._trace_file is not None and self._trainer.recorder is not None:
            self._trace_file.write(
                self._trainer.recorder,
                self._tests,
                self._guard,
                status=status,
                training=self._training(final=final),
                wall_seconds=time.monotonic() - self._began,
                checkpoint_sha256=sha256,
            )

    def _leave(self, error: BaseException) -> None:
        """Save what an interruption leaves; where nothing was learnt, leave nothing in the way of the next attempt."""
        outputs, trainer = self._outputs, self._trainer
        if isinstance(error, KeyboardInterrupt | Lost) and trainer.whole and trainer.step > 0:
            self._write()
        elif trainer.history or self._saved:
            self._write_traces("partial")
        if not (trainer.history or self._saved):
            for path in (outputs.epochs[0], outputs.traces, outputs.resume):
                if path is not None:
                    path.unlink(missing_ok=True)
