"""Kinks of a maximum over perturbations, from losses along a line: what is a kink, and what is the attack's doing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..statistics import standard_error
from .result import Result

STEEP = -0.5  # exponent of the growth as h shrinks: nearer to a kink's -1 than to a smooth function's 0
ENOUGH = 3  # steps over which an exponent is taken
_ROUNDING = 1e-11  # relative, of a loss in float64


class Verdict(IntEnum):
    """What an example's re-attacked loss does between w - h v and w + h v."""

    STILL = 0  # one perturbation is the best on both sides
    KINK = 1  # the best one jumps, and the curvature that this adds grows like 1/h
    SMOOTH = 2  # the best one moves, and what this adds does not grow like 1/h
    UNDECIDED = 3  # the best one moves, at fewer steps than a growth can be told from


@dataclass(frozen=True, eq=False)
class Across:
    """What n examples' losses do over steps h (H,), all arrays (H, n): curvatures in nats, jumps in nats per length.

    curvature: second difference of the largest loss known at each place; frozen: that of the perturbation which is best
    at the net, held; raw: that of the attack's own answers; jump: change of slope from the perturbation that is best
    behind to that which is best ahead; own_jump: the same of the attack's own, negative where it goes down, which no
    maximum of smooth functions does; crosses: whether of the attack's own two each is the better one on its side.
    """

    curvature: np.ndarray
    frozen: np.ndarray
    raw: np.ndarray
    jump: np.ndarray
    own_jump: np.ndarray
    crosses: np.ndarray
    best_behind: np.ndarray
    best_ahead: np.ndarray
    room: float


def differences(losses: np.ndarray, h: np.ndarray) -> Across:
    """Return the second differences of losses (2H+1, K, n), in nats, at places -h_H ... -h_1, 0, h_1 ... h_H.

    The K perturbations of each example are those that the attack found at these places, in their order, and others.
    """
    steps = len(h)
    middle, behind, ahead = steps, steps - 1 - np.arange(steps), steps + 1 + np.arange(steps)
    places, examples = np.arange(2 * steps + 1), np.arange(losses.shape[2])
    room = _ROUNDING * (1 + float(np.abs(losses).max()))
    size = np.asarray(h, float)[:, None]

    def second(values: np.ndarray) -> np.ndarray:
        difference: np.ndarray = (values[ahead] - 2 * values[middle] + values[behind]) / size**2
        return difference

    def gains(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By how much each of two perturbations (H, n) is better on its side, behind and ahead."""
        at_back, at_front = losses[behind[:, None], :, examples], losses[ahead[:, None], :, examples]
        back_first, back_last, front_first, front_last = (
            np.take_along_axis(side, one[..., None], 2)[..., 0] for side in (at_back, at_front) for one in (first, last)
        )
        return back_first - back_last, front_last - front_first

    best = losses.argmax(axis=1)
    back, front = gains(best[behind], best[ahead])
    own = [np.broadcast_to(side[:, None], (steps, len(examples))) for side in (behind, ahead)]
    own_back, own_front = gains(*own)
    return Across(
        curvature=second(losses.max(axis=1)),
        frozen=second(losses[:, best[middle], examples]),
        raw=second(losses[places, places]),
        jump=np.where(back + front > 2 * room, back + front, 0.0) / (2 * size),
        own_jump=np.where(np.abs(own_back + own_front) > 2 * room, own_back + own_front, 0.0) / (2 * size),
        crosses=(own_back >= -room) & (own_front >= -room),
        best_behind=best[behind],
        best_ahead=best[ahead],
        room=room,
    )


def judge(jump: np.ndarray, distance: np.ndarray, h: np.ndarray, *, resolution: float) -> np.ndarray:
    """Return a `Verdict` for each step and example (H, n) from jumps of the slope and distances (H, n).

    A kink's jump is there at every h, so that it adds jump / h to the curvature; a best perturbation that moves with
    the weights adds as much at any h. The exponent is the slope of log(jump / h) against log h over the three smallest
    steps at which something moves. A kink's two perturbations lie further apart than the `resolution` of the ascent,
    in pixel units: nearer ones are the rungs on which a smooth maximiser was looked for.
    """
    steps = len(jump)
    moves = jump > 0
    first = np.where(moves.any(axis=0), moves.argmax(axis=0), steps)
    verdict = np.where(moves, Verdict.UNDECIDED, Verdict.STILL).astype(np.uint8)
    x = np.log(np.asarray(h, float))
    for start in range(steps - ENOUGH + 1):
        chosen = np.flatnonzero((first == start) & moves[start : start + ENOUGH].all(axis=0))
        span = slice(start, start + ENOUGH)
        y = np.log(jump[span, chosen]) - x[span, None]
        away = x[span] - x[span].mean()
        growth = away @ y / (away @ away)
        kink = (growth <= STEEP) & (distance[start, chosen] > resolution)
        verdict[:, chosen] = np.where(
            moves[:, chosen], np.where(kink, Verdict.KINK, Verdict.SMOOTH), verdict[:, chosen]
        )
    return verdict


@dataclass(frozen=True, eq=False)
class Census:
    """Of one direction, at each step h (H,): shares of the n examples, and curvatures of the mean loss in nats."""

    h: np.ndarray
    kinks: np.ndarray
    smooth: np.ndarray
    undecided: np.ndarray
    lattice: np.ndarray
    down: np.ndarray
    frozen: np.ndarray
    excess: np.ndarray
    excess_se: np.ndarray
    raw: np.ndarray
    of_kinks: np.ndarray


def has_kinks(result: Result) -> bool:
    """Return whether a Hessian result holds the curvature of the re-attacked loss."""
    return "reattack/verdict" in result.arrays


def excess(result: Result, pair: int = 0) -> np.ndarray:
    """Return the curvature (H, n) that the adversary's moving adds to each example's, in nats: never under 0."""
    curvature: np.ndarray = result.arrays["reattack/curvature"][pair] - result.arrays["reattack/frozen"][pair]
    return curvature


def census(result: Result, pair: int = 0) -> Census:
    """Return what a result says of its `pair`-th direction, step by step."""
    verdict, own_jump, crosses, frozen, raw = (
        result.arrays[f"reattack/{name}"][pair] for name in ("verdict", "own_jump", "crosses", "frozen", "raw")
    )
    added = excess(result, pair)
    lattice = crosses == 0
    return Census(
        h=result.arrays["reattack/h"],
        kinks=(verdict == Verdict.KINK).mean(axis=1),
        smooth=(verdict == Verdict.SMOOTH).mean(axis=1),
        undecided=(verdict == Verdict.UNDECIDED).mean(axis=1),
        lattice=lattice.mean(axis=1),
        down=(own_jump < 0).mean(axis=1),
        frozen=frozen.mean(axis=1),
        excess=added.mean(axis=1),
        excess_se=standard_error(added),
        raw=raw.mean(axis=1),
        of_kinks=np.where(verdict == Verdict.KINK, added, 0.0).mean(axis=1),
    )
