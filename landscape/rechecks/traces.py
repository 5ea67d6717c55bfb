"""Recheck traces: rows of a run's checkpoints; of a run's mini-batches those at which a checkpoint was kept."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from landscape.analyses.traces import MEASURED, measure_row

from ..checkpoint import Checkpoint, read_checkpoint
from ..errors import CheckpointError, ResultError
from ..params import ParameterSpace
from ..training.holdout import without
from ..training.recipe import Recipe
from ..training.recorder import Recorder
from ..training.trainer import Trainer
from .case import Case
from .numbers import Key, Nets, Stored, Unit, near, share

ROWS = 4
_OF_BATCH = ("loss", "error_rate", "gradient_norm", "distance_from_init", "eps", "learning_rate")


def not_rechecked(case: Case) -> Iterator[str]:
    """Say what of traces is taken on trust."""
    if case.attrs["measured"] == "checkpoints":
        return
    yield "rows of weights that were not kept, and gradients of half-batches"
    folders = {"test/step": "test rows", "probe/step": "probes", "layer_gradient_norm": "norms by layer"}
    folders |= {"gradient_cosine": "cosines with the clean gradient", "lambda_1": "lambda_1"}
    told = [words for name, words in folders.items() if name in case.arrays]
    if told:
        yield ", ".join(told)


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of traces to recompute."""
    if case.attrs["measured"] == "checkpoints":
        yield from _of_checkpoints(case)
    else:
        yield from _of_batches(case)


def _of_checkpoints(case: Case) -> Iterator[Unit]:
    arrays, n = case.arrays, int(case.attrs["n_examples"])
    radii = sorted(set(arrays["eps"].tolist()))
    for row in case.picked("rows", len(arrays["step"]), ROWS):
        eps, number = float(arrays["eps"][row]), row // len(radii)
        attack = case.attack(eps)
        where = f"row {row + 1}: step {arrays['step'][row]}, eps {eps:g}"

        def measure(nets: Nets, number: int = number, attack: Any = attack, where: str = where) -> dict[Key, float]:
            start = ParameterSpace(nets[0]).point(nets[0]).double()
            seed = int(case.attrs["seed"])
            values = measure_row(nets[number], case.examples, attack, start, seed, case.batch_size, case.loss)
            return {(name, where): value for name, value in zip(MEASURED, values, strict=True)}

        loss, gradient = abs(float(arrays["loss"][row])), abs(float(arrays["gradient_norm"][row]))
        stored = {}
        for name in MEASURED:
            if name not in arrays:
                continue
            value = float(arrays[name][row])
            if name.startswith("error_rate"):
                stored[name, where] = share(value, n)
            elif name.startswith("loss"):
                stored[name, where] = near(value, scale=loss)
            elif name == "distance_from_init":
                stored[name, where] = near(value)
            else:  # sums over examples that cancel
                scale = (gradient + 0.01) ** 2 if name.endswith("unbiased") else gradient + 0.01
                stored[name, where] = near(value, scale=scale, rounding=1e-3)
        yield Unit(where, stored, measure)


def _of_batches(case: Case) -> Iterator[Unit]:
    """Yield a unit for rows at the ends of epochs: NAME-epochN.pt holds the weights that the row is of.

    The row's mini-batch, its attack and its step of the schedule follow from the recorded recipe.
    """
    arrays = case.arrays
    rows = {int(step): row for row, step in enumerate(arrays["step"].tolist())}
    recipe = case.read(lambda: Recipe.from_dict(case.attrs["training"]))
    final = case.origin.checkpoint(str(case.attrs["checkpoint"]), str(case.attrs["checkpoint_sha256"]))
    if final.training.get("curve") is not None:
        raise ResultError(
            f"{case.path} are the traces of a curve's training, whose nets were not kept; recheck its connect result"
        )
    per_epoch = int(case.attrs["steps_per_epoch"])
    kept = {epoch: checkpoint for epoch, checkpoint in _kept(final).items() if epoch * per_epoch in rows}
    if 0 not in kept:
        raise ResultError(
            f"{case.path} has rows of weights that were not kept; put {final.path.stem}-epoch0{final.path.suffix} "
            f"beside {final.path}"
        )
    learnt = without(case.data, recipe.holdout, seed=recipe.seed)[0]
    epochs = sorted(kept)
    for place in case.picked("rows", len(epochs), ROWS):
        epoch = epochs[place]
        row = rows[epoch * per_epoch]
        where = f"row {row + 1}: step {epoch * per_epoch}"
        measure = _replay(case, kept[0], kept[epoch], learnt, recipe.resolved(case.data.spec), epoch, where)
        stored: dict[Key, Stored] = {}
        for name in _OF_BATCH:
            value = float(arrays[name][row])
            scale = abs(float(arrays["loss"][row])) if name == "loss" else 0.0
            if name == "error_rate":
                stored[name, where] = share(value, int(case.attrs["batch_size"]))
            else:
                stored[name, where] = near(value, scale=scale, rounding=1e-3 if name == "gradient_norm" else 2e-5)
        yield Unit(where, stored, measure)


def _replay(
    case: Case, first: Checkpoint, at: Checkpoint, data: Any, recipe: Recipe, epoch: int, where: str
) -> Callable[[Nets], dict[Key, float]]:
    def measure(nets: Nets) -> dict[Key, float]:
        # The file's nets are the last one's; a nudge of them stands for a nudge of the one of this row.
        net, start = (case.origin.net_of(one, data) for one in (at, first))
        space = ParameterSpace(net)
        w = space.point(net)
        shift = space.point(nets[0]) - space.point(last)
        _write(net, space, w + shift)
        distance = float((space.point(net).double() - space.point(start).double()).norm())
        recorder = Recorder(
            net, steps_per_epoch=int(case.attrs["steps_per_epoch"]), halves_every=1 << 40, loss=case.loss
        )
        trainer = Trainer(net, data, recipe, device=case.origin.given.device, recorder=recorder, loss=case.loss)
        trainer.epoch = epoch
        with contextlib.suppress(_Stopped):
            trainer.run(progress=_stop)
        found = {name: float(values[0]) for name, values in recorder.arrays().items()}
        return {(name, where): found[name] for name in _OF_BATCH} | {("distance_from_init", where): distance}

    last = copy.deepcopy(case.nets[0])
    return measure


class _Stopped(Exception):
    """The first batch is done."""


def _stop(stage: str, done: int, total: int) -> None:
    raise _Stopped


def _write(net: nn.Module, space: ParameterSpace, w: torch.Tensor) -> None:
    named = dict(net.named_parameters())
    with torch.no_grad():
        for name, value in space.named(w).items():
            named[name].copy_(value)


def _kept(final: Checkpoint) -> dict[int, Checkpoint]:
    """Return the checkpoints NAME-epochN that lie beside a run's last one and were trained as it was, by epoch."""
    found = {}
    pattern = re.compile(re.escape(final.path.stem) + r"-epoch(\d+)")
    for path in sorted(final.path.parent.glob(f"{final.path.stem}-epoch*{final.path.suffix}")):
        match = pattern.fullmatch(path.stem)
        if match is None:
            continue
        try:
            checkpoint = read_checkpoint(path)
        except CheckpointError:
            continue
        own = [one.training.get(name) for one in (final, checkpoint) for name in ("seed", "eps", "lr", "batch_size")]
        if own[:4] == own[4:]:
            found[int(match[1])] = checkpoint
    return found
