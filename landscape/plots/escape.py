"""The escape from the plateau of the constant classifier: when a loss first falls under a level, for how many runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ..results.result import Result

PLATEAU = 2.0  # nats: the constant classifier of ten balanced classes is at ln 10 = 2.303


@dataclass(frozen=True)
class Escape:
    """The step whose loss is the first under the level; where none is, the steps watched, and `seen` is false."""

    step: int
    seen: bool


def escape(result: Result, *, level: float = PLATEAU) -> Escape:
    """Return when a run's mini-batch loss first falls under `level`, in nats."""
    steps, below = result.arrays["step"], result.arrays["loss"] < level
    if below.any():
        return Escape(int(steps[below.argmax()]), seen=True)
    return Escape(int(steps[-1]) + 1, seen=False)


def survival(escapes: Sequence[Escape]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (m,), 0 first, at which the share of runs still on the plateau changes, and that share (m,).

    The estimate is Kaplan and Meier's (1958): a run that was not seen to escape counts for as long as it was watched.
    """
    steps, shares = [0], [1.0]
    for step in sorted({one.step for one in escapes if one.seen}):
        at_risk = sum(one.step >= step for one in escapes)
        gone = sum(one.seen and one.step == step for one in escapes)
        steps.append(step)
        shares.append(shares[-1] * (1 - gone / at_risk))
    return np.array(steps), np.array(shares)


def draw_survival(ax: Axes, escapes: Sequence[Escape], **look: object) -> None:
    """Draw the share of runs still on the plateau against the step; a tick where one was watched no longer."""
    steps, shares = survival(escapes)
    end = max(one.step for one in escapes)
    ax.step([*steps, end], [*shares, shares[-1]], where="post", **look)  # type: ignore[arg-type]  # matplotlib's words
    left = [one.step for one in escapes if not one.seen]
    height = [shares[np.searchsorted(steps, step, side="right") - 1] for step in left]
    if left:
        ax.plot(left, height, "|", color=look.get("color"), markersize=6, label="_censored", clip_on=False)
