"""A training run from specs to files: NAME.pt (or .safetensors), the epochs that are kept, and NAME.traces.h5."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..arguments import check_outputs
from ..attacks import PGD, make_ball
from ..checkpoint import save_checkpoint
from ..data import ImageData, load_data
from ..errors import UsageError
from ..files import sha256_of
from ..models import build_model
from .accuracy import Progress, collapsed, judge
from .batches import batch_bounds
from .outputs import Outputs
from .recipe import Recipe
from .tracing import TestRows, TraceFile, Tracing, trace_attributes
from .trainer import Trainer, check_trainable

# The last judgement of a run takes at most this many examples of each split: all of every test set at hand, and of a
# larger training set as many, so that it costs a fraction of an epoch.
FINAL_EXAMPLES = 10_000
TRACING = Tracing()
SECONDS_BETWEEN_WRITES = 60.0  # what a crash can cost
_SHARE = 50  # a writing comes after so many times what the last one took: all of them stay under 2 % of the run


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A trained net in eval mode, the `training` entry of its checkpoint, and the files written, its own first."""

    model: nn.Module
    training: dict[str, Any]
    paths: list[Path]


def run(
    recipe: Recipe,
    *,
    model: str,
    data: str,
    out: str | Path,
    save_epochs: Iterable[int] = (),
    tracing: Tracing | None = TRACING,
    data_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    save_every: float = SECONDS_BETWEEN_WRITES,
    command: str = "landscape.training.run",
    progress: Progress | None = None,
) -> TrainingRun:
    """Train the net that a spec names on the data that a spec names, and save it to `out` (NAME.pt, or .safetensors).

    The initial weights are kept as NAME-epoch0.pt, those after each of `save_epochs` and of the recipe's periods as
    NAME-epochN.pt; a run that ends before its first epoch does leaves neither. What each mini-batch was like is in
    NAME.traces.h5, written every `save_every` seconds and at the end (`tracing` None: no such file). The same seed on
    the same machine writes the same bytes of all checkpoints: none holds a time. Raises LandscapeError before any work
    where a file exists and `overwrite` is false, UsageError for an epoch that the run does not reach; before a file is
    written, UsageError for what `check_trainable` refuses and for a net that is not made for the data.
    """
    outputs = Outputs(out, [*save_epochs, *recipe.periods], last=recipe.epochs, traces=tracing is not None)
    outputs.check(overwrite=overwrite)
    train_data = load_data(data, split="train", data_dir=data_dir, progress=progress)
    test_data = _load_test(data, data_dir, progress)
    session = _Session(
        recipe.resolved(train_data.spec),
        model,
        train_data,
        test_data,
        outputs,
        tracing,
        device=device,
        overwrite=overwrite,
        save_every=save_every,
        command=command,
        progress=progress,
    )
    return session.run()


class _Session:
    """A run with its data, its net and its files."""

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
    ) -> None:
        self.began = self.written = time.monotonic()
        self.save_every, self.cost = save_every, 0.0
        self.recipe, self.outputs, self.progress = recipe, outputs, progress
        self.train_data, self.test_data, self.overwrite = train_data, test_data, overwrite
        self.tracing = None if tracing is None else tracing.resolved(recipe)
        self.net, self.model_spec = build_model(
            model, input=train_data.shape, classes=train_data.classes, seed=recipe.seed
        )
        check_trainable(self.net, train_data, recipe)
        check_outputs(
            self.net, train_data.images, classes=train_data.classes, name=self.model_spec, data=train_data.spec
        )
        self.tests: TestRows | None = None
        if self.tracing is not None and self.tracing.test_every > 0:
            if test_data is None:
                raise UsageError(f"{train_data.spec} has no test split; leave --test-every out")
            self.tests = TestRows(test_data, recipe, min(self.tracing.test_examples, len(test_data)))
        self.net.to(device)
        steps_per_epoch = len(batch_bounds(len(train_data), recipe.batch_size))
        recorder = None if self.tracing is None else self.tracing.recorder(self.net, steps_per_epoch)
        self.trainer = Trainer(self.net, train_data, recipe, device=device, recorder=recorder)
        self.trace_file: TraceFile | None = None
        if self.tracing is not None and outputs.traces is not None:
            attrs = trace_attributes(
                recipe,
                self.tracing,
                train_data,
                self.net,
                model_spec=self.model_spec,
                checkpoint=outputs.out,
                device=device,
                command=command,
                steps_per_epoch=steps_per_epoch,
                tests=self.tests,
            )
            self.trace_file = TraceFile(outputs.traces, attrs)

    def run(self) -> TrainingRun:
        trainer, outputs = self.trainer, self.outputs
        self.save(outputs.epochs[0])
        try:
            trainer.run(progress=self.progress, before_batch=self.before_batch, on_epoch=self.on_epoch)
            self.test(last=True)
        except BaseException:
            self.clear_or_keep()
            raise
        self.net.eval()
        final = final_errors(
            self.net, self.train_data, self.test_data, self.recipe, device=trainer.device, progress=self.progress
        )
        self.save(outputs.out, final=final)
        self.write_traces("complete", final, sha256_of(outputs.out))
        return TrainingRun(self.net, self.training_entry(final=final), outputs.paths)

    def training_entry(
        self, record: dict[str, Any] | None = None, final: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the `training` entry of a checkpoint; `record` is of an epoch that ends just now."""
        history = [*self.trainer.history, *([] if record is None else [record])]
        return {**self.recipe.to_dict(), "epoch": len(history), "history": history, "final": final or {}}

    def save(self, path: Path, record: dict[str, Any] | None = None, final: dict[str, Any] | None = None) -> None:
        save_checkpoint(
            path,
            self.net,
            model_spec=self.model_spec,
            data_spec=self.train_data.spec,
            training=self.training_entry(record, final),
            overwrite=self.overwrite,
        )

    def before_batch(self) -> None:
        self.test()
        if self.due(self.save_every):
            self.write()

    def on_epoch(self, record: dict[str, Any]) -> None:
        if record["epoch"] in self.outputs.epochs:
            self.save(self.outputs.epochs[record["epoch"]], record)

    def test(self, *, last: bool = False) -> None:
        step, tests = self.trainer.step, self.tests
        if tests is None or self.tracing is None or step in tests.rows:
            return
        if last or step % self.tracing.test_every == 0:
            tests.judge(self.net, step, self.trainer.eps, progress=self.progress)

    def due(self, seconds: float) -> bool:
        since = time.monotonic() - self.written
        return since >= seconds and (seconds == 0 or since >= _SHARE * self.cost)

    def write(self) -> None:
        began = time.monotonic()
        self.trainer.check()
        self.write_traces("partial")
        self.written = time.monotonic()
        self.cost = self.written - began

    def write_traces(self, status: str, final: dict[str, Any] | None = None, sha256: str | None = None) -> None:
        if self.trace_file is not None and self.trainer.recorder is not None:
            self.trace_file.write(
                self.trainer.recorder,
                self.tests,
                status=status,
                training=self.training_entry(final=final),
                wall_seconds=time.monotonic() - self.began,
                checkpoint_sha256=sha256,
            )

    def clear_or_keep(self) -> None:
        """Leave what whole epochs have made; without one, files would only be in the way of the next attempt."""
        if self.trainer.history:
            self.write_traces("partial")
            return
        for path in self.outputs.epochs[0], self.outputs.traces:
            if path is not None:
                path.unlink(missing_ok=True)


def final_errors(
    model: nn.Module,
    train_data: ImageData,
    test_data: ImageData | None,
    recipe: Recipe,
    *,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return a trained net's clean and robust loss (nats) and error (fraction) on both splits, as plain Python.

    Keys are `clean_train_loss`, `robust_test_error` and so on, NaN where there is no test split; `train_examples` and
    `test_examples` say on how many, `attack` under which attack (the best of its iterates), and `collapsed` whether the
    net has become a constant classifier.
    """
    attack = PGD(make_ball(recipe.norm, recipe.eps))
    final: dict[str, Any] = {"attack": str(attack)}
    for split, data in (("train", train_data), ("test", test_data)):
        n = 0 if data is None else min(len(data), FINAL_EXAMPLES)
        final[f"{split}_examples"] = n
        for kind, adversary in (("clean", None), ("robust", attack)):
            loss = error = float("nan")
            if data is not None:
                outcome = judge(model, data, adversary, n=n, seed=recipe.seed, device=device, progress=progress)
                loss, error = outcome.loss, outcome.error
                if (split, kind) == ("train", "clean"):
                    final["collapsed"] = collapsed(outcome)
            final[f"{kind}_{split}_loss"], final[f"{kind}_{split}_error"] = loss, error
    return final


def _load_test(data: str, data_dir: str | Path | None, progress: Progress | None) -> ImageData | None:
    try:
        return load_data(data, split="test", data_dir=data_dir, progress=progress)
    except UsageError:  # a user's own data may have no test split; the training split was read, so the spec is good
        return None
