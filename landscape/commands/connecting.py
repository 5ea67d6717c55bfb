"""The way between two nets from options to file: found again, resumed point by point, or trained and scanned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from landscape.analyses.connect import connect

from ..distributed import current
from ..memory import keep_freed_memory
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say
from ..units import format_eps
from .curving import Chosen, choose_curve, hash_of, read_control_points
from .kept import KeptPoints, scanned
from .measurement import stem_of
from .pair import Pair, Request, load_pair, through_control_points
from .subject import threat_line
from .together import found_alike


def run_connect(
    sources: tuple[str, str], request: Request, *, out: Path | None, overwrite: bool, quiet: bool, verbose: bool
) -> tuple[Path, Result, bool]:
    """Return the result of a pair, its file, and whether it was there already."""
    keep_freed_memory()
    with progress(quiet=quiet, verbose=verbose) as report:
        pair = current().in_turn(lambda: load_pair(sources, request, report))
    given = pair.request.control_points
    if given is not None:
        kind, held = read_control_points(given, pair.sha256, sources)
        interior = 0 if held.points is None else len(held.points)
        pair = replace(pair, request=through_control_points(pair.request, kind, interior))
    identity = pair.identity(hash_of(given))
    stem = f"{stem_of(sources[0], pair.first)}+{stem_of(sources[1], pair.second)}"
    path = out or default_path(stem, "connect", identity)
    found = found_alike(path, identity, pair.first.model, shares=len(identity["points"]), overwrite=overwrite)
    if not quiet:
        say(describe(pair))
    if found is not None:
        return path, found, True
    named = default_path(stem, "curve", pair.curve_settings).with_suffix(".pt")
    curve_path = named if out is None else out.with_name(f"{out.stem}.curve.pt")
    with progress(quiet=quiet, verbose=verbose) as report:
        chosen = choose_curve(pair, curve_path, overwrite=overwrite, report=report)

    def scan(keeper: Callable[..., KeptPoints] | None) -> Result:
        with progress(quiet=quiet, verbose=verbose) as report:
            return _scan(pair, chosen, identity, keeper, report)

    return path, scanned(path, identity, scan, overwrite=overwrite), False


def describe(pair: Pair) -> str:
    """Return the lines that state what is measured, and how the curve came about."""
    attack = pair.attacks[-1]
    line = threat_line(
        pair.first,
        eps=[one.ball.eps for one in pair.attacks] if len(pair.attacks) > 1 else 0.0,
        norm=attack.ball.norm,
        n=pair.n,
        attack=str(attack),
        batchnorm=pair.batchnorm,
        adversary="anew at each point",
    )
    if pair.request.control_points is not None:
        curve = f"a {pair.kind} through {pair.request.control_points}"
    elif not pair.trains:
        curve = "the line" if pair.kind == "line" else f"a {pair.kind} on the line, untrained"
    else:
        recipe = pair.recipe
        curve = (
            f"a {pair.kind} of {pair.start.interior} interior points, trained for {recipe.epochs} epochs at eps "
            f"{format_eps(recipe.eps)} ({recipe.optimizer}, lr {recipe.lr:g})"
        )
    return f"from {pair.first.checkpoint.name} to {pair.second.checkpoint.name} by {curve}\n{line}"


def _scan(
    pair: Pair,
    chosen: Chosen,
    identity: dict[str, Any],
    keeper: Callable[..., KeptPoints] | None,
    report: Report,
) -> Result:
    request, attack = pair.request, pair.attacks[-1]
    provenance = [subject.provenance() for subject in (pair.first, pair.second)]
    seeds = [subject.checkpoint.training.get("seed") for subject in (pair.first, pair.second)]
    training = provenance[0]["training"]
    return connect(
        pair.first.model,
        pair.second.model,
        pair.first.data,
        eps=[one.ball.eps for one in pair.attacks],
        curve=pair.kind,
        control_points=chosen.points,
        recipe=pair.recipe,
        train_on=pair.training_split,
        other=pair.other,
        points=request.points,
        adaptive=request.adaptive,
        grid_tol=request.grid_tol,
        batchnorm=None if pair.batchnorm == "none" else pair.batchnorm,
        gradient=request.gradient,
        lambda_1=request.lambda_1,
        attack=attack,
        loss=pair.first.loss,
        n_examples=pair.n,
        seed=request.seed,
        batch_size=request.batch_size,
        progress=report,
        keeper=keeper,
        group=current(),
        provenance_of={
            **{
                key: [entry[key] for entry in provenance]
                for key in ("checkpoint", "checkpoint_file", "checkpoint_sha256")
            },
            "training": None if training is None else {**training, "seed": seeds},
            "train_eps": pair.train_eps if not math.isnan(pair.train_eps) else math.nan,
            "model": pair.first.model_spec,
            **pair.first.told,
            "epochs": chosen.epochs,
            "steps": chosen.steps,
            "control_points": None if chosen.path is None else str(chosen.path),
            "control_points_sha256": hash_of(chosen.path),
            **({} if chosen.training is None else {"curve_training": chosen.training}),
            "command": command_line(),
            "settings": identity,
        },
    )
