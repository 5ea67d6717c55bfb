"""Clean and robust error of nets, or of an ensemble of them: every verdict, and how far the attacks can be trusted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape.arguments import check_model, check_outputs, outputs_of_one, read_eps, read_integer
from landscape.attacks import make_ball
from landscape.attacks.ensemble import JOINS, Ensemble
from landscape.data import Examples, as_data, select
from landscape.distributed import ALONE, Group
from landscape.errors import UsageError
from landscape.evaluation import Examination, LossExamination, check_for_numbers, parse_suite
from landscape.evaluation.of_numbers import DEFAULT_ATTACKS
from landscape.losses import Loss, are_scores, cross_entropy
from landscape.params import ParameterSpace
from landscape.results import Result, Snapshot, provenance
from landscape.spec import nearest

Progress = Callable[[str, int, int], None]


def evaluate(
    models: nn.Module | Sequence[nn.Module],
    data: Any,
    *,
    eps: float | str,
    attacks: str | Sequence[str] | None = None,
    preset: str = "default",
    cascade: bool = False,
    ensemble: str | None = None,
    norm: str = "linf",
    n_examples: int | str | None = "all",
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    curve: bool = False,
    adequacy: bool = True,
    names: Sequence[str] | None = None,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
    group: Group = ALONE,
) -> Result:
    """Return the verdicts of nets on `n_examples` under each attack of a suite, their error rates, and the worst case.

    `data` is (images, labels), a Dataset, a DataLoader or ImageData; `eps` is in pixel units of [0, 1], a number or
    "8/255". `attacks` are named as in commands ("clean,pgd100,apgd-ce:restarts=5"); `preset` "paper" or "standard"
    (AutoAttack's) chooses them and their settings. In a `cascade` an attack meets what those before it left standing.
    `ensemble` "softmax" or "logits" judges the nets as one. `curve` adds the error against eps, `adequacy` more effort
    and the signs of masked gradients on a sample. PGD climbs `loss`; where labels are numbers, nothing is right or
    wrong: rates are NaN, and the file holds the largest loss of each example under PGD. The processes of a `group` each
    make this call, and share the examples; the first alone has a snapshot. See docs/method.md; Liu et al. 2020, table
    1; Croce and Hein 2020.
    """
    began = time.perf_counter()
    nets = [models] if isinstance(models, nn.Module) else list(models)
    ball = make_ball(norm, read_eps(eps, norm))
    seed = read_integer("seed", seed, least=0)
    if batch_size is not None:
        batch_size = read_integer("batch_size", batch_size, least=1)
    data = as_data(data, targets=loss is not cross_entropy)
    if attacks is None and preset == "default" and data.labels.is_floating_point():
        attacks = DEFAULT_ATTACKS
    suite = parse_suite(attacks, ball, preset=preset, channels=data.shape[0], cascade=cascade)
    examples = select(data, n_examples, seed=seed)
    classes = 0 if examples.labels.is_floating_point() else int(examples.labels.max()) + 1
    members = list(names) if names is not None else [type(net).__name__ for net in nets]
    for net, name in zip(nets, members, strict=True):
        check_model(net)
        check_outputs(net, examples.images, classes=classes, loss=loss, name=name)
    judged, titles = _judged(nets, members, ensemble)
    work: Examination | LossExamination
    if _counts(nets[0], examples, classes, loss):
        work = Examination(
            judged, suite, ball, examples, seed, batch_size, loss=loss, curve=curve, adequacy=adequacy, group=group
        )
    else:
        check_for_numbers(suite, curve=curve, ensemble=ensemble)
        work = LossExamination(
            judged, suite, ball, examples, seed, batch_size, loss=loss, adequacy=adequacy, group=group
        )
    if (state := group.from_first(lambda: None if snapshot is None else snapshot.load())) is not None:
        work.load(state)
    for _ in work.run(_titled(progress, titles)):
        if snapshot is not None:
            snapshot.offer(work.state)
    return Result(
        "evaluate",
        {
            **work.arrays(),
            "checkpoints": np.array(titles),
            "attacks": np.array(suite.names),
            "indices": examples.indices.numpy(),
        },
        {
            **provenance(
                command="landscape.evaluate",
                device=str(next(nets[0].parameters()).device),
                torch_version=torch.__version__,
            ),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": [type(net).__name__ for net in nets],
            "train_eps": math.nan,
            "seed": seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": len(examples),
            "n_parameters": sum(ParameterSpace(net).n_parameters for net in (nets if ensemble else nets[:1])),
            "norm": ball.norm,
            "attack": str(suite),
            "adversary": "reattacked" if ball.eps else "none",
            "batchnorm": "frozen",
            **(provenance_of or {}),
            "status": "complete",
            "eps": ball.eps,
            "ensemble": ensemble or "none",
            "cascade": suite.cascade,
            "preset": preset,
            "classes": data.classes,
            **work.attributes(),
            "wall_seconds": time.perf_counter() - began,
        },
    )


def _counts(net: nn.Module, examples: Examples, classes: int, loss: Loss) -> bool:
    """Return whether labels name classes that a net's outputs are scores of: only then is there right and wrong."""
    first = outputs_of_one(net, examples.images, classes=classes, loss=loss)
    return are_scores(first, examples.labels[:1]) and first.shape[1] >= classes


def _judged(nets: list[nn.Module], names: list[str], ensemble: str | None) -> tuple[list[nn.Module], list[str]]:
    """Return the nets that are judged and their names: those that came, or one of all."""
    if not nets:
        raise UsageError("no net came; give at least one")
    if ensemble is None:
        return nets, names
    if ensemble not in JOINS:
        raise UsageError(f"ensemble = {ensemble!r} is unknown; {nearest(ensemble, JOINS)}")
    return [Ensemble(nets, join=ensemble)], [" + ".join(names)]


def _titled(progress: Progress | None, titles: Sequence[str]) -> Callable[[int], Progress | None]:
    """Return the report of the net at a position: its name is told where there are several."""

    def of(number: int) -> Progress | None:
        if progress is None:
            return None
        prefix = f"{titles[number]}: " if len(titles) > 1 else ""
        return lambda stage, done, total: progress(f"{prefix}{stage}", done, total)

    return of
