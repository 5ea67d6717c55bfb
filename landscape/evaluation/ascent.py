"""PGD as a judge: which examples it fools, each leaving as soon as its verdict stands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..attacks.scores import Scores, Tick, held
from ..borrow import Network, full_precision
from ..losses import Loss, cross_entropy, per_example
from ..streams import example_streams


def fool(
    attack: PGD,
    model: nn.Module | Network,
    images: Tensor,
    labels: Tensor,
    *,
    loss: Loss = cross_entropy,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    tick: Tick | None = None,
) -> Tensor:
    """Return images (N, ...) in the ball: a misclassified iterate of PGD where there was one, else the clean image.

    The ascent is of `loss`; who is fooled is a matter of scores alone.

    With `keep` "best" any iterate counts, the start included, and an example leaves at its first: PGD's state is one
    example's own, so that what the others meet is the same to the rounding of sums. With "last" the last iterate of
    each restart counts alone, and an example leaves after a restart. Random starts are those of `Objective`.
    """
    if attack.ball.eps == 0 or not len(images):
        return images.clone()
    indices = range(len(images)) if indices is None else indices
    scores = Scores(model, tick)
    found = images.clone()
    left = torch.arange(len(images), device=images.device)
    with held(model), full_precision():
        for restart in range(attack.restarts):
            if not len(left):
                break
            streams = example_streams(seed, f"attack/restart{restart}", [int(indices[i]) for i in left.tolist()])
            start = attack.start_images(images[left], streams)
            tried, fooled = _climb(attack, scores, images[left], labels[left], start, loss)
            found[left[fooled]] = tried[fooled]
            left = left[~fooled]
    return found


def _climb(
    attack: PGD, scores: Scores, images: Tensor, labels: Tensor, start: Tensor, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Return an image (N, ...) for each example and whether it fools (N,)."""
    if attack.keep == "last":
        x = attack.climb(scores, images, labels, start, loss=loss)
        with torch.no_grad():
            return x, scores(x).argmax(1) != labels
    found, fooled = start.clone(), torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    left = torch.arange(len(labels), device=labels.device)
    x = start
    for step in range(attack.steps + 1):
        last = step == attack.steps
        with torch.set_grad_enabled(not last):
            x = x.detach().requires_grad_(not last)
            outputs = scores(x)
            losses = per_example(loss, outputs, labels[left])
        wrong = outputs.detach().argmax(1) != labels[left]
        if bool(wrong.any()):
            found[left[wrong]], fooled[left[wrong]] = x.detach()[wrong], True
        if last or bool(wrong.all()):
            break
        (gradient,) = torch.autograd.grad(losses.sum(), x, materialize_grads=True)
        if bool(wrong.any()):
            right = ~wrong
            left, x, gradient = left[right], x.detach()[right], gradient[right]
        else:
            x = x.detach()
        x = attack.ball.project(x + attack.step_size * attack.ball.ascent(gradient), images[left])
    return found, fooled
