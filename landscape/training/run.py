"""A training run from specs to files: NAME.pt (or .safetensors), NAME-epoch0.pt and the epochs asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..attacks import PGD, make_ball
from ..checkpoint import save_checkpoint
from ..data import ImageData, load_data
from ..errors import LandscapeError, UsageError
from ..models import build_model
from .accuracy import Progress, collapsed, judge
from .recipe import Recipe
from .trainer import check_trainable, train

# The last judgement of a run takes at most this many examples of each split: all of every test set at hand, and of a
# larger training set as many, so that it costs a fraction of an epoch.
FINAL_EXAMPLES = 10_000
SUFFIXES = (".pt", ".safetensors")


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A trained net in eval mode, the `training` entry of its checkpoint, and the files written, the last one first."""

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
    data_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainingRun:
    """Train the net that a spec names on the data that a spec names, and save it to `out` (NAME.pt, or .safetensors).

    The initial weights are kept as NAME-epoch0.pt, those after each of `save_epochs` and of the recipe's periods as
    NAME-epochN.pt; a run that ends before its first epoch does leaves neither. The same seed on the same machine writes
    the same bytes: no file holds a time. Raises LandscapeError before any work where a file exists and `overwrite` is
    false, UsageError for an epoch that the run does not reach; before any file is written, UsageError for what
    `check_trainable` refuses.
    """
    out = Path(out)
    epochs = _wanted_epochs([*save_epochs, *recipe.periods], recipe.epochs)
    snapshots = {epoch: out.with_name(f"{out.stem}-epoch{epoch}{out.suffix}") for epoch in (0, *epochs)}
    _check_outputs(out, [out, *snapshots.values()], overwrite)

    train_data = load_data(data, split="train", data_dir=data_dir, progress=progress)
    test_data = _load_test(data, data_dir, progress)
    recipe = recipe.resolved(train_data.spec)
    net, model_spec = build_model(model, input=train_data.shape, classes=train_data.classes, seed=recipe.seed)
    check_trainable(net, train_data, recipe)
    net.to(device)
    history: list[dict[str, Any]] = []

    def training_entry(final: dict[str, Any]) -> dict[str, Any]:
        return {**recipe.to_dict(), "epoch": len(history), "history": list(history), "final": final}

    def save(path: Path, final: dict[str, Any]) -> None:
        save_checkpoint(
            path,
            net,
            model_spec=model_spec,
            data_spec=train_data.spec,
            training=training_entry(final),
            overwrite=overwrite,
        )

    def on_epoch(record: dict[str, Any]) -> None:
        history.append(record)
        if record["epoch"] in epochs:
            save(snapshots[record["epoch"]], {})

    save(snapshots[0], {})
    try:
        train(net, train_data, recipe, device=device, progress=progress, on_epoch=on_epoch)
    except BaseException:
        if not history:  # nothing was learnt, and what is left would only refuse the next attempt
            snapshots[0].unlink(missing_ok=True)
        raise
    net.eval()
    final = final_errors(net, train_data, test_data, recipe, device=device, progress=progress)
    save(out, final)
    return TrainingRun(net, training_entry(final), [out, *snapshots.values()])


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


def _wanted_epochs(save_epochs: Iterable[int], last: int) -> list[int]:
    epochs = sorted({epoch for epoch in save_epochs if epoch != 0})  # epoch 0 is always kept
    for epoch in epochs:
        if not 0 < epoch <= last:
            raise UsageError(f"epoch {epoch} cannot be saved; the run has epochs 1 to {last} (--save-epochs)")
    return epochs


def _check_outputs(out: Path, paths: list[Path], overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise UsageError(f"{out} is no name for a checkpoint; give --out NAME.pt, or NAME.safetensors")
    for path in paths:
        if path.is_dir():
            raise LandscapeError(f"{path} is a folder; name a file with --out")
        if path.exists() and not overwrite:
            raise LandscapeError(f"{path} exists and is kept; give --overwrite, or another --out")


def _load_test(data: str, data_dir: str | Path | None, progress: Progress | None) -> ImageData | None:
    try:
        return load_data(data, split="test", data_dir=data_dir, progress=progress)
    except UsageError:  # a user's own data may have no test split; the training split was read, so the spec is good
        return None
