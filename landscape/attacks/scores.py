"""A net as attacks borrow it: checked scores, nothing of its own to write into, and every generator put back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..borrow import Network, evaluating, full_precision
from ..errors import LandscapeError, UsageError

Tick = Callable[[], None]

# Two forwards of one net on a GPU may round differently; a net that draws numbers differs by far more than this share.
_ROUNDING = 1e-4


class Scores:
    """A net's scores (N, K) for images (N, ...), fresh at each call; `tick` is called before each forward pass.

    Raises LandscapeError where the net returns NaN.
    """

    def __init__(self, network: Network, tick: Tick | None = None) -> None:
        self._network = network
        self._tick = tick
        self.classes = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Return the scores (N, K) of images (N, ...)."""
        if self._tick is not None:
            self._tick()
        if not len(images):  # the reference's Square asks for none where every margin is exactly 0
            return images.new_zeros(0, self.classes)
        scores = self._network(images)
        if bool(scores.isnan().any()):
            bad = int(scores.flatten(1).isnan().any(1).sum())
            raise LandscapeError(
                f"the net returns NaN for {bad} of {len(images)} images in the box [0, 1]; "
                "no attack can be judged there: check its weights with landscape info"
            )
        if torch.is_grad_enabled() and images.requires_grad and not scores.requires_grad:
            # Rounding, a table: the scores do not move with the pixels, and autograd would refuse to say so.
            scores = scores + 0 * images.flatten(1).sum(1, keepdim=True)
        return scores.clone()  # the reference's Square writes into what it is given


@contextlib.contextmanager
def held(model: nn.Module | Network) -> Iterator[None]:
    """Hold a net in eval mode with its parameters frozen; put modes and flags back afterwards, whatever happened.

    As light as the net itself, and exact where a backward pass may reach weights: of FAB, of a compiled net.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with evaluating(model):
        try:
            for parameter in moving:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in moving:
                parameter.requires_grad_(True)


@contextlib.contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Put the global generators of Python, NumPy and torch back afterwards, whatever was drawn or seeded."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # the global one is what is kept
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(python)


@contextlib.contextmanager
def borrowed_scores(
    model: nn.Module | Network,
    images: Tensor,
    labels: Tensor,
    *,
    least_classes: int = 2,
    purpose: str = "an attack",
    tick: Tick | None = None,
) -> Iterator[tuple[Scores, Tensor]]:
    """Yield the net's checked scores, in eval mode, and those (N, K) of the clean images (N, ...).

    The net's mode, weights, buffers and gradients, and the global generators, are as they were afterwards. Raises
    UsageError where the net gives no scores for the labels, fewer than `least_classes`, probabilities, or another
    answer at each call; LandscapeError where it returns NaN.
    """
    scores = Scores(model, tick)
    with held(model), full_precision(), generators_kept(images.device), torch.no_grad():
        clean = scores(images)
        _check(clean, labels, least_classes, purpose)
        scores.classes = clean.shape[1]
        again = scores(images)
        largest = float(clean[clean.isfinite()].abs().max()) if bool(clean.isfinite().any()) else 0.0
        if float((clean - again).nan_to_num().abs().max()) > _ROUNDING * largest:
            raise UsageError(
                "the net is randomised: two forward passes on the same images differ; an attack needs the expectation "
                "over its draws, so fix its noise (a seeded buffer, eval mode) or wrap it in a mean over draws"
            )
        yield scores, clean


def _check(clean: Tensor, labels: Tensor, least_classes: int, purpose: str) -> None:
    if clean.dim() != 2 or clean.shape[1] <= int(labels.max()):
        raise UsageError(
            f"the net gives shape {tuple(clean.shape)} for {len(labels)} images with labels up to {int(labels.max())}; "
            "wanted one row of logits each, one for every class"
        )
    if clean.shape[1] < least_classes:
        raise UsageError(
            f"{purpose} needs {least_classes} classes or more, and the net has {clean.shape[1]}; use apgd-ce and square"
        )
    rounding = 1e-5  # of a sum over classes in float32
    if bool((clean >= 0).all() and (clean <= 1 + rounding).all() and ((clean.sum(1) - 1).abs() < rounding).all()):
        raise UsageError(
            "the net gives probabilities, and the losses of attacks are of logits: "
            "leave out its last softmax (or return its log)"
        )
