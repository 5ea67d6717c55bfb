"""Were the attacks strong enough? More effort on a sample, and the signs of gradients that are masked.

Athalye et al. (2018) and Carlini et al. (2019) list the signs: random or black-box search beats gradients, the error
falls as the ball grows, a huge ball does not reach 100 %, the loss does not rise along an ascent. None of them proves
anything by its absence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..attacks import APGD, PGD, Ball
from ..attacks.scores import Scores, Tick
from ..borrow import Network, detached, evaluating, full_precision
from ..losses import cross_entropy
from ..statistics import wilson
from ..streams import example_streams
from ..units import format_eps
from .ascent import fool
from .verdicts import Examinee

SAMPLE = 100  # examples, of those that are judged
MORE_STEPS, MORE_RESTARTS = 200, 5  # of APGD, on what the suite left standing
RANDOM_POINTS = 100  # half of them vertices of the ball, half inside
FIELDS = ("missed", "random", "flat", "no_rise", "rise")
CURVE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
COARSE_SHARES = (0.5, 1.0, 2.0)

# What counts as a sign. Shares of the sample come in hundredths, and one or two examples can be chance.
MISSED, RANDOM, BLACK_BOX, FLAT, NO_RISE, FALL, SHORT = 0.02, 0.01, 0.002, 0.05, 0.05, 0.02, 0.01


@dataclass(frozen=True)
class Signs:
    """What the checks found for one net; shares of the sample but `black_box` and `fall`, NaN where not looked at."""

    missed: float
    random: float
    black_box: float
    flat: float
    no_rise: float
    rise: float
    fall: float  # the largest drop of the error as the ball grows
    huge: float  # the error in the largest ball
    constant: bool  # one class for all: no ball reaches 100 %, and nothing is masked
    sample: int
    largest: float  # radius of the largest ball

    def verdict(self) -> str:
        """Say in one line whether the attacks were strong enough, as far as the checks can see."""
        found = []
        if self.missed >= MISSED:
            found.append(f"more steps and restarts fool {_percent(self.missed)} more of the sample")
        if self.random >= RANDOM:
            found.append(f"random points fool {_percent(self.random)} that no gradient attack does")
        if self.black_box > BLACK_BOX:
            found.append(f"square fools {_percent(self.black_box)} that no gradient attack does")
        if self.flat > FLAT:
            found.append(f"{_percent(self.flat)} of the sample have an input gradient of exactly 0")
        if self.no_rise > NO_RISE:
            found.append(f"the loss of {_percent(self.no_rise)} of the sample does not rise")
        if self.fall > FALL:
            found.append(f"the error falls by {_percent(self.fall)} as the ball grows")
        if not self.constant and 1 - self.huge > SHORT:
            found.append(f"at eps {format_eps(self.largest)} only {_percent(self.huge)} are wrong")
        most = wilson(round(self.missed * self.sample), self.sample)[1] if self.sample else math.nan
        if not found:
            return (
                f"adequate: {MORE_RESTARTS} restarts of {MORE_STEPS} steps fool {_percent(self.missed)} more of "
                f"{self.sample} examples (at most {_percent(most)} at 95 %), and no sign of masked gradients"
            )
        return "suspect: " + "; ".join(found)


def radii(ball: Ball, shape: Sequence[int], *, fine: bool) -> tuple[float, ...]:
    """Return the radii of a curve in growing order: shares of the ball's own, and one from which all can be reached."""
    huge = 1.0 if ball.norm == "linf" else math.sqrt(math.prod(shape))
    shares = CURVE_SHARES if fine else COARSE_SHARES
    return tuple(sorted({share * ball.eps for share in shares if share * ball.eps < huge} | {huge}))


def curve_attack(ball: Ball) -> PGD:
    """Return the attack of a curve: enough steps to see its form, every iterate counted."""
    return PGD(ball, steps=40, rel_step=0.1)


def error_at(examinee: Examinee, eps: float, ball: Ball, positions: Tensor, *, tick: Tick | None = None) -> float:
    """Return the fraction wrong (clean or under the curve's attack) in the ball of radius eps, at these positions."""
    wrong = 0
    attack = curve_attack(ball.with_eps(eps))

    def judge(part: Tensor) -> np.ndarray:
        images, labels, indices = examinee.batch(part)
        found = fool(
            attack, examinee.model, images, labels, loss=examinee.loss, seed=examinee.seed, indices=indices, tick=tick
        )
        with evaluating(examinee.model), full_precision(), torch.no_grad():
            right = examinee.model(torch.cat([images, found])).argmax(1).view(2, -1) == labels
        return (~right.all(0)).cpu().numpy()

    for _, fooled in examinee.over(positions, judge, tick=tick):
        wrong += int(fooled.sum())
    return wrong / len(positions)


def probe(
    examinee: Examinee,
    ball: Ball,
    positions: Tensor,
    gradient_right: np.ndarray,
    all_right: np.ndarray,
    *,
    tick: Tick | None = None,
) -> dict[str, float]:
    """Return the checks on a sample (S,): `gradient_right` says what no gradient attack fools, `all_right` what none.

    Keys are FIELDS.
    """
    images, labels, indices = examinee.batch(positions)
    standing = positions[torch.from_numpy(all_right)]
    network = Scores(detached(examinee.model), tick)
    with evaluating(examinee.model), full_precision():
        clean, flat = slopes(network, images, labels)
        short = _highest(PGD(ball, steps=10), examinee, images, labels, indices, tick)
        long = _highest(PGD(ball, steps=100), examinee, images, labels, indices, tick)
        rows = torch.from_numpy(np.flatnonzero(gradient_right))
        some = [indices[i] for i in rows.tolist()]
        random = random_fooled(network, ball, images[rows], labels[rows], examinee.seed, some)
    return {
        "missed": _missed(examinee, ball, standing, tick) / len(positions),
        "random": random / len(positions),
        "flat": float(flat.double().mean()),
        # A certain example's loss may rise by less than float32 resolves; it counts as risen where it ends above.
        "no_rise": float((torch.maximum(short, long) <= clean).double().mean()),
        "rise": float((torch.maximum(short, long) - short).double().mean()),
    }


def _missed(examinee: Examinee, ball: Ball, standing: Tensor, tick: Tick | None) -> int:
    """Return how many of the examples at these positions more steps and restarts of APGD fool."""
    count = len(standing)
    if not count:
        return 0
    classes = _classes(examinee, examinee.batch(standing[:1])[0])
    for loss in ("ce", "dlr") if classes > 2 else ("ce",):
        stronger = APGD(ball, loss=loss, steps=MORE_STEPS, restarts=MORE_RESTARTS)
        judge = partial(examinee.withstands, stronger, tick=tick)
        right = [part[torch.from_numpy(done)] for part, done in examinee.over(standing, judge, tick=tick)]
        standing = torch.cat(right).sort().values if right else standing
    return count - len(standing)


def _classes(examinee: Examinee, images: Tensor) -> int:
    with evaluating(examinee.model), torch.no_grad():
        return int(examinee.model(images[:1]).shape[1])


def slopes(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the clean losses (N,), and whether their gradient by the pixels is exactly 0 (N,)."""
    x = images.clone().requires_grad_()
    with torch.enable_grad():
        losses = cross_entropy(network(x), labels)
        (gradient,) = torch.autograd.grad(losses.sum(), x, materialize_grads=True)
    return losses.detach(), gradient.flatten(1).eq(0).all(1)


def _highest(
    attack: PGD, examinee: Examinee, images: Tensor, labels: Tensor, indices: Sequence[int], tick: Tick | None
) -> Tensor:
    network = Scores(detached(examinee.model), tick)
    found = attack(
        network,
        images,
        labels,
        noise=lambda restart: example_streams(examinee.seed, f"attack/restart{restart}", indices),
    )
    with torch.no_grad():
        return cross_entropy(network(found), labels)


def random_fooled(
    network: Callable[[Tensor], Tensor],
    ball: Ball,
    images: Tensor,
    labels: Tensor,
    seed: int,
    indices: Sequence[int],
    *,
    points: int = RANDOM_POINTS,
) -> int:
    """Return how many examples some random point of the ball fools; every other point is pushed to its surface."""
    streams = example_streams(seed, "adequacy/random", indices)
    fooled = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    with torch.no_grad():
        for number in range(points if len(labels) else 0):
            shift = ball.random_points(streams, images.shape[1:]).to(images)
            if number % 2:
                shift = ball.eps * ball.ascent(shift)
            fooled |= network(ball.project(images + shift, images)).argmax(1) != labels
    return int(fooled.sum())


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"
