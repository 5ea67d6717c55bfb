"""Does the attack find what there is to find, and does the net keep what its checkpoint claims?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ..attacks import APGD, PGD, make_ball, parse_attack
from ..attacks.scores import Scores
from ..borrow import detached, evaluating, full_precision
from ..errors import LandscapeError
from ..evaluation.adequacy import random_fooled, slopes
from ..losses import per_example
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
    if not patient.counts:
        return _strength_of_loss(patient, attack)
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
            ("PGD", _stronger(attack)),
        ):
            found = one(
                network, images, labels, noise=partial(_starts, patient.seed, indices=indices), loss=patient.loss
            )
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


def _stronger(attack: PGD) -> PGD:
    return PGD(attack.ball, steps=_STRONG_STEPS, rel_step=0.1, restarts=2)


def _strength_of_loss(patient: Patient, attack: PGD) -> Finding:
    """Return what a longer ascent finds besides, of a loss that knows no right and wrong."""
    count = patient.affordable(attack.steps * attack.restarts + 2 * _STRONG_STEPS)
    images, labels = patient.images[:count], patient.labels[:count]
    indices = patient.examples.indices[:count].tolist()
    network = detached(patient.model)
    means = []
    with evaluating(patient.model), full_precision():
        leaf = images.clone().requires_grad_()
        losses = per_example(patient.loss, network(leaf), labels)
        flat = torch.ones(count, dtype=torch.bool)
        if losses.requires_grad:
            (gradient,) = torch.autograd.grad(losses.sum(), leaf, materialize_grads=True)
            flat = gradient.flatten(1).eq(0).all(1)
            losses = losses.detach()
        for one in (attack, _stronger(attack)):
            found = one(
                network, images, labels, noise=partial(_starts, patient.seed, indices=indices), loss=patient.loss
            )
            with torch.no_grad():
                means.append(float(per_example(patient.loss, network(found), labels).double().mean()))
    still = float(flat.double().mean())
    said = (
        f"loss {means[0]:.4g} under the attack at eps {format_eps(attack.ball.eps)}, {means[1]:.4g} under a stronger "
        f"one, {float(losses.double().mean()):.4g} without, on {count}; no gradient in the pixels of {percent(still)}"
    )
    if still > _MASKED:
        return Finding("attack", STOP, said, "gradients are masked, so that losses under PGD mean nothing")
    if means[1] - means[0] > _MORE * abs(means[0]) or still > _FLAT:
        return Finding("attack", LOOK, said, "give --attack pgd:steps=50,rel_step=0.1,restarts=2 in all commands")
    return Finding("attack", OK, said)


def claim(patient: Patient) -> Finding:
    """Check loss and error against those that the checkpoint says it had."""
    final = patient.training.get("final")
    if not isinstance(final, Mapping) or patient.other is None:
        return Finding("own claim", OK, "the checkpoint makes none")
    worst: list[str] = []
    told = []
    for split in ("test", "train"):
        for kind in ("clean", "robust"):
            word = "error" if patient.counts else "loss"
            claimed = final.get(f"{kind}_{split}_{word}")
            if not isinstance(claimed, float) or math.isnan(claimed):
                continue
            try:
                data = patient.other(split)
                attack = _claimed_attack(patient, final) if kind == "robust" else None
            except LandscapeError as reason:
                told.append(f"{kind} {split} {word} cannot be checked ({reason})")
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
                loss=patient.loss,
            )
            own = int(final.get(f"{split}_examples") or n)
            if patient.counts:
                found, shown = outcome.error, percent
                low, high = wilson(round(found * n), n, level=0.999)
                least, width = 2 / n, high - low
            else:
                found, shown = outcome.loss, "{:.4g}".format
                least = 1e-3 * abs(claimed)
                width = 4 * float(outcome.losses.double().std()) / math.sqrt(n)
            told.append(f"{kind} {split} {word} {shown(found)} on {n:,}, claimed {shown(claimed)}")
            # The claim is over examples of its own: all of them here, where they are as many.
            if abs(found - claimed) > (least if own == n else width):
                worst.append(f"{kind} {split}")
    if not told:
        return Finding("own claim", OK, "the checkpoint makes none")
    if worst:
        return Finding(
            "own claim",
            STOP,
            "; ".join(told),
            f"{' and '.join(worst)} {word} is not what the checkpoint claims: other data, another net under its "
            "weights, or a normalisation that is missing",
        )
    return Finding("own claim", OK, "; ".join(told))


def _claimed_attack(patient: Patient, final: Mapping[str, Any]) -> PGD | None:
    eps, norm = patient.training.get("eps"), patient.training.get("norm")
    if not isinstance(eps, float | int) or not isinstance(norm, str) or not isinstance(final.get("attack"), str):
        return None
    return parse_attack(str(final["attack"]), make_ball(norm, float(eps)))


def _starts(seed: int, restart: int, indices: list[int]) -> Any:
    return example_streams(seed, f"attack/restart{restart}", indices)
