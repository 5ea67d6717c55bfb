"""Does the attack find what there is to find, and does the net keep what its checkpoint claims?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..attacks import APGD, PGD, make_ball, parse_attack
from ..attacks.scores import Scores
from ..borrow import detached, evaluating, full_precision
from ..errors import LandscapeError
from ..evaluation.adequacy import random_fooled, slopes
from ..statistics import wilson
from ..streams import example_streams
from ..training.accuracy import judge
from ..units import format_eps
from .patient import LOOK, OK, STOP, Finding, Patient, percent

_STRONG_STEPS, _APGD_STEPS, RANDOM_POINTS = 50, 50, 20
_MORE = 0.05  # error that a stronger attack adds
_FLAT, _MASKED = 0.05, 0.5  # share of examples without a gradient in their pixels
CLAIMED = 1000  # examples that a claim is checked on


def attack_strength(patient: Patient) -> Finding:
    """Check whether stronger attacks find much more, and whether the pixels have gradients at all."""
    attack = patient.attack
    if attack is None:
        return Finding("attack", LOOK, "eps is not known", "give --eps, such as --eps 8/255")
    if attack.ball.eps == 0:
        return Finding("attack", OK, "eps is 0: no attack")
    passes = attack.steps * attack.restarts + 2 * _STRONG_STEPS + 2 * _APGD_STEPS
    count = patient.affordable(passes)
    images, labels = patient.images[:count], patient.labels[:count]
    indices = patient.examples.indices[:count].tolist()
    network = Scores(detached(patient.model))  # which gives a net that rounds a gradient of 0
    with evaluating(patient.model), full_precision():
        _, flat = slopes(network, images, labels)
        wrong = {"clean": network(images).argmax(1) != labels}
        for name, one in (
            ("the default", attack),
            ("PGD", PGD(attack.ball, steps=_STRONG_STEPS, rel_step=0.1, restarts=2)),
        ):
            found = one(network, images, labels, noise=lambda restart: _starts(patient.seed, restart, indices))
            wrong[name] = (network(found).argmax(1) != labels) | wrong["clean"]
    strongest = wrong["PGD"] | wrong["the default"]
    for loss in ("ce", "dlr") if patient.scores.shape[1] > 2 else ("ce",):
        standing = (~strongest).nonzero()[:, 0]
        if len(standing):
            apgd = APGD(attack.ball, loss=loss, steps=_APGD_STEPS)
            some = [indices[i] for i in standing.tolist()]
            found = apgd(patient.model, images[standing], labels[standing], seed=patient.seed, indices=some)
            strongest[standing] = patient.outputs(found).argmax(1) != labels[standing]
    # Random points that fool what no gradient has fooled are a sign of gradients that lead nowhere.
    standing = (~strongest).nonzero()[:, 0]
    some = [indices[i] for i in standing.tolist()]
    with evaluating(patient.model), full_precision():
        random = random_fooled(
            network, attack.ball, images[standing], labels[standing], patient.seed, some, points=RANDOM_POINTS
        )
    default, most = float(wrong["the default"].double().mean()), float(strongest.double().mean())
    still = float(flat.double().mean())
    told = (
        f"error {percent(default)} under the attack at eps {format_eps(attack.ball.eps)}, "
        f"{percent(most)} under stronger ones, on {count}; no gradient in the pixels of {percent(still)}"
    )
    if still > _MASKED or random / count > _MORE:
        return Finding(
            "attack",
            STOP,
            told + (f"; random points fool {random} more" if random else ""),
            "gradients are masked, so that losses under PGD mean nothing: look for rounding, tables, or scores so "
            "large that the loss is flat (divide them by a temperature); judge by landscape evaluate --attacks "
            "clean,apgd-dlr,square",
        )
    if most - default > _MORE or still > _FLAT:
        return Finding(
            "attack",
            LOOK,
            told,
            "give --attack pgd:steps=50,rel_step=0.1,restarts=2 in all commands, and look at what landscape evaluate "
            "says of adequacy",
        )
    return Finding("attack", OK, told)


def claim(patient: Patient) -> Finding:
    """Check loss and error against those that the checkpoint says it had."""
    final = patient.training.get("final")
    if not isinstance(final, Mapping) or patient.other is None:
        return Finding("own claim", OK, "the checkpoint makes none")
    worst: list[str] = []
    told = []
    for split in ("test", "train"):
        for kind in ("clean", "robust"):
            error = final.get(f"{kind}_{split}_error")
            if not isinstance(error, float) or math.isnan(error):
                continue
            try:
                data = patient.other(split)
                attack = _claimed_attack(patient, final) if kind == "robust" else None
            except LandscapeError as reason:
                told.append(f"{kind} {split} error cannot be checked ({reason})")
                continue
            if kind == "robust" and (attack is None or attack.ball.eps == 0):
                continue
            most = CLAIMED if attack is None else patient.affordable(attack.steps, most=500)
            n = min(len(data), most)
            outcome = judge(
                patient.model,
                data,
                attack,
                n=n,
                seed=int(patient.training.get("seed") or 0),
                device=patient.first.device,
            )
            own = int(final.get(f"{split}_examples") or n)
            told.append(f"{kind} {split} error {percent(outcome.error)} on {n:,}, claimed {percent(error)}")
            low, high = wilson(round(outcome.error * n), n, level=0.999)
            # The claim is over examples of its own: all of them here, where they are as many.
            room = 2 / n if own == n else high - low
            if abs(outcome.error - error) > room:
                worst.append(f"{kind} {split}")
    if not told:
        return Finding("own claim", OK, "the checkpoint makes none")
    if worst:
        return Finding(
            "own claim",
            STOP,
            "; ".join(told),
            f"{' and '.join(worst)} error is not what the checkpoint claims: other data, another net under its "
            "weights, or a normalisation that is missing",
        )
    return Finding("own claim", OK, "; ".join(told))


def _claimed_attack(patient: Patient, final: Mapping[str, Any]) -> PGD | None:
    eps, norm = patient.training.get("eps"), patient.training.get("norm")
    if not isinstance(eps, float | int) or not isinstance(norm, str) or not isinstance(final.get("attack"), str):
        return None
    return parse_attack(str(final["attack"]), make_ball(norm, float(eps)))


def _starts(seed: int, restart: int, indices: list[int]) -> Any:
    return partial(example_streams, seed, f"attack/restart{restart}", indices)()
