"""What the net takes for an image: is the normalisation inside it, and are its outputs scores?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .patient import LOOK, OK, STOP, Finding, Patient, percent

# Mean and deviation of each channel, in pixels of [0, 1], as people write them in front of their nets.
USUAL = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10's, of another count": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "MNIST's": ((0.1307,), (0.3081,)),
    "to [-1, 1]": ((0.5,), (0.5,)),
    "0 to 255": ((0.0,), (1 / 255,)),
}


def scores(patient: Patient) -> Finding:
    """Check that the outputs are finite scores, and no probabilities."""
    found = patient.scores
    n, classes = found.shape
    if not bool(torch.isfinite(found).all()):
        bad = int((~torch.isfinite(found)).any(1).sum())
        return Finding("outputs", STOP, f"not finite for {bad} of {n} images", "check the weights: landscape info CKPT")
    sums = found.sum(1)
    if bool((found >= 0).all() and ((sums - 1).abs() < 1e-4).all()):
        return Finding(
            "outputs",
            STOP,
            f"{classes} probabilities",
            "leave out the last softmax, or return its log: losses and attacks take logits",
        )
    return Finding("outputs", OK, f"{classes} scores, {float(found.min()):.3g} to {float(found.max()):.3g}")


def normalisation(patient: Patient) -> Finding:
    """Check that the net is at its best on images in [0, 1]: compare with the usual normalisations in front of it."""
    loss, error = patient.judged(patient.scores)
    n = len(patient.labels)
    rows = []
    for name, mean, deviation in _candidates(patient.images):
        tried = patient.outputs((patient.images - mean) / deviation)
        if bool(torch.isfinite(tried).all()):
            rows.append((*patient.judged(tried), name, mean, deviation))
    told = f"error {percent(error)}, loss {loss:.3g} on images in [0, 1]"
    if not rows:
        return Finding("normalisation", OK, told)
    best_loss, best_error, name, mean, deviation = min(rows, key=lambda row: (row[1], row[0]))
    told += f"; best of {len(rows)} normalisations in front ({name}): error {percent(best_error)}, loss {best_loss:.3g}"
    # Paired on the same images: two standard errors of a difference are no more than these.
    noise = 2 * math.sqrt(max(error + best_error, 1 / n) / n)
    if best_error < error - max(noise, 0.02) or (best_error <= error and best_loss < 0.5 * loss and loss > 0.1):
        shown = f"mean {_shown(mean)}, deviation {_shown(deviation)}"
        return Finding(
            "normalisation",
            STOP,
            told,
            f"the net expects normalised images: put it inside, as nn.Sequential(Normalise({shown}), net), so that "
            "radii keep their units",
        )
    classes = patient.scores.shape[1]
    if error > 0.9 * (1 - 1 / classes):
        return Finding(
            "normalisation",
            LOOK,
            told,
            "no better than guessing, whatever stands in front: are these the data, the labels and the weights?",
        )
    return Finding("normalisation", OK, told)


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
