"""What the net takes for an image: is the normalisation inside it, and are its outputs scores?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..arguments import check_loss, check_model, outputs_of_one
from ..errors import UsageError
from ..losses import cross_entropy
from .patient import LOOK, OK, STOP, Finding, Patient, told

# Mean and deviation of each channel, in pixels of [0, 1], as people write them in front of their nets.
USUAL = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10's, of another count": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "MNIST's": ((0.1307,), (0.3081,)),
    "to [-1, 1]": ((0.5,), (0.5,)),
    "0 to 255": ((0.0,), (1 / 255,)),
}

_BETTER = 0.25  # share of its loss that a net of numbers has left behind its own normalisation


def answers(patient: Patient) -> Finding:
    """Check that the net takes an image of the data and returns one tensor that the loss can read."""
    try:
        check_model(patient.model)
        outputs = outputs_of_one(
            patient.model, patient.examples.images, classes=patient.data.classes, loss=patient.loss
        )
        check_loss(patient.loss, outputs, patient.examples.labels)
    except UsageError as error:
        found, _, advice = str(error).rpartition("; ")
        return Finding("forward pass", STOP, found, advice)
    return Finding("forward pass", OK, f"a tensor {'x'.join(map(str, outputs.shape))} for one image")


def scores(patient: Patient) -> Finding:
    """Check that the outputs are finite, and no probabilities where scores are wanted."""
    found = patient.scores
    rows = found.flatten(1) if found.dim() > 1 else found.unsqueeze(1)
    n, width = rows.shape
    if not bool(torch.isfinite(rows).all()):
        bad = int((~torch.isfinite(rows)).any(1).sum())
        return Finding("outputs", STOP, f"not finite for {bad} of {n} images", "check the weights: landscape info CKPT")
    sums = rows.sum(1)
    if patient.loss is cross_entropy and bool((rows >= 0).all() and ((sums - 1).abs() < 1e-4).all()):
        return Finding(
            "outputs",
            STOP,
            f"{width} probabilities",
            "leave out the last softmax, or return its log: losses and attacks take logits",
        )
    what = "scores" if patient.counts else "numbers"
    return Finding("outputs", OK, f"{width} {what}, {float(rows.min()):.3g} to {float(rows.max()):.3g}")


def normalisation(patient: Patient) -> Finding:
    """Check that the net is at its best on images in [0, 1]: compare with the usual normalisations in front of it."""
    loss, error = patient.judged(patient.scores)
    n = len(patient.labels)
    rows = []
    for name, mean, deviation in _candidates(patient.images):
        tried = patient.outputs((patient.images - mean) / deviation)
        if bool(torch.isfinite(tried).all()):
            rows.append((*patient.judged(tried), name, mean, deviation))
    said = f"{told(loss, error)} on images in [0, 1]"
    if not rows:
        return Finding("normalisation", OK, said)
    best_loss, best_error, name, mean, deviation = min(rows, key=lambda row: (row[1], row[0]))
    said += f"; best of {len(rows)} normalisations in front ({name}): {told(best_loss, best_error)}"
    if patient.counts:
        # Paired on the same images: two standard errors of a difference are no more than these.
        noise = 2 * math.sqrt(max(error + best_error, 1 / n) / n)
        better = best_error < error - max(noise, 0.02)
        better = better or (best_error <= error and best_loss < 0.5 * loss and loss > 0.1)
    else:
        better = best_loss < _BETTER * loss
    if better and not patient.counts:
        return Finding(  # nothing tells a net that is hardly trained, whose outputs grow with its images
            "normalisation",
            LOOK,
            said,
            "the net may expect such images (normalise inside it, for radii to keep their units), or be hardly trained",
        )
    if better:
        shown = f"mean {_shown(mean)}, deviation {_shown(deviation)}"
        return Finding(
            "normalisation",
            STOP,
            said,
            f"the net expects normalised images: put it inside, as nn.Sequential(Normalise({shown}), net), so that "
            "radii keep their units",
        )
    if patient.counts and error > 0.9 * (1 - 1 / patient.scores.shape[1]):
        return Finding(
            "normalisation",
            LOOK,
            said,
            "no better than guessing, whatever stands in front: are these the data, the labels and the weights?",
        )
    return Finding("normalisation", OK, said)


def _candidates(images: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """Return (name, mean (1, C, 1, 1), deviation) of each normalisation that fits the channels, the data's own too."""
    channels = images.shape[1]
    own = images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    found = [("the data's own", images.mean(dim=(0, 2, 3), keepdim=True), own)]
    for name, (mean, deviation) in USUAL.items():
        if len(mean) in (1, channels):
            centre, width = (images.new_tensor(part).view(1, -1, 1, 1) for part in (mean, deviation))
            found.append((name, centre, width))
    return found


def _shown(values: Tensor) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values.flatten().tolist()) + ")"
