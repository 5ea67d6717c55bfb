"""How much a stronger adversary of another kind adds to what a surface found, on a few points and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..attacks import PGD, Ball
from ..attacks.apgd import APGD
from ..attacks.reference import ReferenceAttack
from ..attacks.square import Square
from ..borrow import Network, evaluating, full_precision
from ..data import to_unit
from ..distributed import ALONE, Group
from ..errors import UsageError
from ..losses import per_example
from ..results.kinds.surface import EVALUATED
from ..streams import example_streams, stream
from .point import Points
from .scan import Index

STEPS, QUERIES = 100, 500  # of each APGD, and of Square
RESTARTS = 2  # of PGD, where there are no classes
EXAMPLES = 128


@dataclass(frozen=True, eq=False)
class Audit:
    """The gap (E, ny, nx) in nats between the loss of stronger attacks and what was found, NaN where not audited.

    `errors` is its standard error over the audited examples; `attacks` names those that ran.
    """

    gap: np.ndarray
    errors: np.ndarray
    attacks: str
    examples: int


def audit(
    points: Points,
    status: np.ndarray,
    ys: np.ndarray,
    xs: np.ndarray,
    *,
    count: int,
    examples: int = EXAMPLES,
    progress: Callable[[int, int], None] | None = None,
    group: Group = ALONE,
) -> Audit:
    """Attack `count` points anew, the one nearest the origin first, by APGD-CE, APGD-DLR and Square on the loss.

    The points are stratified by their distance from the origin, and a part of the examples is taken, both by the
    objective's seed. What the scan found stays in the running, so the gap is never negative. The processes of a `group`
    share the points.
    """
    ladder, objective = points.ladder, points.ladder.objective
    attacked = [number for number, eps in enumerate(ladder.eps) if eps > 0]
    gap, errors = np.full(status.shape, np.nan), np.full(status.shape, np.nan)
    chosen, images, labels = _chosen(points, examples)
    places = stratified(status, ys, xs, count=count, seed=objective.seed) if attacked else []
    names: list[str] = []

    def look(index: Index) -> list[tuple[int, np.ndarray, list[str]]]:
        row, column = index
        network = points.network(float(xs[column]), float(ys[row]))
        return _excess(points, network, attacked, chosen, images, labels)

    done = 0

    def tell() -> None:
        if progress is not None and places:
            progress(done, len(places))

    for place, found in group.shared_out(places, look, tick=tell):
        row, column = places[place]
        for number, excess, played in found:
            names += [name for name in played if name not in names]
            gap[number, row, column], errors[number, row, column] = _mean_and_error(excess)
        done += 1
        tell()
    effort = f"{STEPS} steps, {QUERIES} queries" if ladder.judges else f"{STEPS} steps, {RESTARTS} restarts"
    words = f"{', '.join(names)} ({effort})" if names else ""
    return Audit(gap, errors, words, len(chosen) if names else 0)


def _chosen(points: Points, examples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of the examples that are attacked, their images and their labels."""
    objective = points.ladder.objective
    chosen = torch.from_numpy(np.sort(stream(objective.seed, "audit/examples").permutation(objective.n)[:examples]))
    images = to_unit(objective.images[chosen.to(objective.device)], dtype=objective.dtype)
    return chosen, images, objective.labels[chosen.to(objective.device)]


def _mean_and_error(excess: np.ndarray) -> tuple[float, float]:
    spread = excess.std(ddof=1) / np.sqrt(len(excess)) if len(excess) > 1 else np.nan
    return float(excess.mean()), float(spread)


def look_again(points: Points, a: float, b: float, *, examples: int) -> dict[int, tuple[float, float]]:
    """Return the gap at (a, b) and its standard error by the place of each radius over 0: what `audit` finds there."""
    attacked = [number for number, eps in enumerate(points.ladder.eps) if eps > 0]
    found = _excess(points, points.network(a, b), attacked, *_chosen(points, examples))
    return {number: _mean_and_error(excess) for number, excess, _ in found}


def _excess(
    points: Points, network: Network, attacked: list[int], chosen: Tensor, images: Tensor, labels: Tensor
) -> list[tuple[int, np.ndarray, list[str]]]:
    """Return, for each attacked radius of one point, what stronger attacks add (examples,), and those that ran."""
    ladder, indices = points.ladder, points.ladder.objective.indices[chosen].tolist()
    found = ladder.evaluate(network).losses[:, chosen]
    told = []
    for number in attacked:
        worst, names = found[number], []
        for attack in stronger(ladder.attacks[number].ball, judges=ladder.judges):
            losses = _strongest(attack, points, network, images, labels, indices)
            if losses is not None:
                worst = torch.maximum(worst, losses)
                names.append("pgd" if isinstance(attack, PGD) else attack.name)
        told.append((number, (worst - found[number]).numpy(), names))
    return told


def stronger(ball: Ball, *, judges: bool = True) -> list[ReferenceAttack | PGD]:
    """Return the attacks of an audit: by the gradient of two losses, and by none; for no classes, a long PGD."""
    if not judges:  # the others look for another class
        return [PGD(ball, steps=STEPS, restarts=RESTARTS)]
    return [APGD(ball, steps=STEPS), APGD(ball, loss="dlr", steps=STEPS), Square(ball, queries=QUERIES)]


def stratified(status: np.ndarray, ys: np.ndarray, xs: np.ndarray, *, count: int, seed: int) -> list[Index]:
    """Return `count` evaluated points: the nearest to the origin, and one of each further stratum of the distance."""
    known = np.argwhere((status == EVALUATED).all(axis=0))
    if not len(known) or count < 1:
        return []
    wide = max(float(np.abs(xs).max()), 1e-30), max(float(np.abs(ys).max()), 1e-30)
    far = [np.hypot(xs[column] / wide[0], ys[row] / wide[1]) for row, column in known]
    ordered = known[np.argsort(far, kind="stable")]
    draw = stream(seed, "audit/points")
    strata = np.array_split(ordered[1:], count - 1) if count > 1 else []
    picked = [stratum[draw.integers(len(stratum))] for stratum in strata if len(stratum)]
    return [(int(row), int(column)) for row, column in [ordered[0], *picked]]


def _strongest(
    attack: ReferenceAttack | PGD, points: Points, network: Network, images: Tensor, labels: Tensor, indices: list[int]
) -> Tensor | None:
    objective = points.ladder.objective
    try:
        with evaluating(objective.model), full_precision():
            if isinstance(attack, PGD):
                streams = partial(_starts, objective.seed, indices)
                found = attack(network, images, labels, noise=streams, loss=objective.loss)
                with torch.no_grad():
                    return per_example(objective.loss, network(found), labels).double().cpu()
            _, losses = attack.strongest(
                network, images, labels, seed=objective.seed, indices=indices, loss=objective.loss
            )
    except UsageError:  # two classes have no DLR, vectors have no squares: the others audit alone
        return None
    return losses.double().cpu()


def _starts(seed: int, indices: list[int], restart: int) -> list[np.random.Generator]:
    return example_streams(seed, f"audit/restart{restart}", indices)
