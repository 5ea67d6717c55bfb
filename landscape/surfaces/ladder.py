"""The worst loss that can be found in each of a ladder of balls, on fixed examples, at any weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..attacks import PGD, Best
from ..borrow import Network, evaluating, full_precision
from ..errors import UsageError
from ..losses import are_scores, per_example
from ..objective import Batch, Objective
from ..streams import example_streams

_AT_ONCE = 2  # batches: an attack keeps no graph beyond its step, and larger ones run better
_KEPT_STARTS = 256 * 2**20  # bytes of random starts that are drawn once for all points


@dataclass(frozen=True, eq=False)
class Found:
    """What was found at one point, for E radii and n examples, on the CPU.

    `losses` (E, n) float64 in nats; `wrong` (E, n), whether any image tried was classified wrongly; `flat` (E, n),
    whether the loss had no gradient in the pixels where the attack began (NaN where none was run). A loss that was not
    a number at any image tried is NaN. `skipped`: the clean loss was beyond the cap, and no attack was run.
    """

    losses: Tensor
    wrong: Tensor
    flat: Tensor
    skipped: bool = False
    judged: bool = True  # the labels are classes; of other targets nothing is wrong, and no error is known

    @property
    def means(self) -> Tensor:
        """Mean loss for each radius (E,), in nats; not finite where any example's is not."""
        return self.losses.mean(dim=1)

    @property
    def error_rates(self) -> Tensor:
        """Fraction of examples classified wrongly for each radius (E,); NaN where the labels are no classes."""
        rates = self.wrong.double().mean(dim=1)
        return rates if self.judged else torch.full_like(rates, torch.nan)

    @property
    def errors(self) -> Tensor:
        """Standard error of each mean over examples (E,); NaN for a single example."""
        n = self.losses.shape[1]
        return self.losses.std(dim=1) / n**0.5 if n > 1 else torch.full_like(self.means, torch.nan)


class Ladder:
    """Attacks of growing radius on the examples of an objective, each examples' best kept over a pool of starts.

    At every point the pool of a radius holds a cold start (the same random start at every point: neighbours are
    paired), the image frozen at the origin (`freeze`), the clean image, and the best of the next smaller radius; the
    loss is that of the best iterate of all. So the loss found is never below the frozen one, and grows with the radius:
    by construction, hence no evidence (`surfaces.audit` is). `moves` false keeps the adversary as it was frozen.
    """

    def __init__(self, objective: Objective, attacks: Sequence[PGD], *, moves: bool = True) -> None:
        radii = [attack.ball.eps for attack in attacks]
        if not radii or any(not a < b for a, b in itertools.pairwise(radii)):
            raise UsageError(f"the radii {radii} do not grow; give each once, such as --eps 0,2/255,4/255")
        self.objective = objective
        self.attacks = list(attacks)
        self.moves = moves
        self.frozen: list[Tensor] = []  # for each radius the images (n, ...) fixed at the origin
        self._starts: dict[tuple[int, int, int, int], Tensor] = {}
        self._kept = 0

    @property
    def eps(self) -> list[float]:
        """The radii, in pixel units."""
        return [attack.ball.eps for attack in self.attacks]

    @property
    def judges(self) -> bool:
        """Whether labels are classes, so that a net can be wrong."""
        return self.objective.labels.dim() == 1 and not self.objective.labels.is_floating_point()

    def freeze(self, network: Network, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Fix each radius's images at those found at `network`, the net at the origin; call it once."""
        assert not self.frozen
        images: list[Tensor] = [
            torch.empty(self.objective.n, *self.objective.images.shape[1:], dtype=self.objective.dtype)
            for _ in self.attacks
        ]

        def work(batch: Batch) -> Batch:
            for number, (best, *_) in enumerate(self._climb(network, batch)):
                images[number][batch.start : batch.start + len(batch.labels)] = best.images.cpu()
            return batch

        self._over(work, progress)
        self.frozen = [found.to(self.objective.device) for found in images]

    def evaluate(self, network: Network, *, cap: float = float("inf")) -> Found:
        """Return the worst losses found at `network`, the net at some weights.

        Where the clean loss's mean passes `cap`, no attack is run, and the losses of radii above 0 are NaN. A ladder
        that was not frozen has no images of an origin in its pool: for nets that are no points near one.
        """
        shape = len(self.attacks), self.objective.n
        losses = torch.full(shape, torch.nan, dtype=torch.float64)
        wrong = torch.zeros(shape, dtype=torch.bool)
        flat = torch.full(shape, torch.nan)
        if cap < float("inf") and not self._clean_loss(network) <= cap:
            return self._clean_only(network, losses, wrong, flat)

        def work(batch: Batch) -> Batch:
            part = slice(batch.start, batch.start + len(batch.labels))
            rows = self._climb(network, batch) if self.moves else self._held(network, batch)
            for number, (best, fooled, still) in enumerate(rows):
                losses[number, part] = best.losses.double().cpu()
                wrong[number, part] = fooled.cpu()
                flat[number, part] = still.cpu()
            return batch

        self._over(work)
        return Found(losses, wrong, flat, judged=self.judges)

    def _climb(self, network: Network, batch: Batch) -> list[tuple[Best, Tensor, Tensor]]:
        """Return, for each radius, the best image of each example, whether any was wrong, and no gradient at first."""
        objective, labels = self.objective, batch.labels
        pool: list[tuple[Best, Tensor, Tensor]] = []
        clean = Best(batch.images, labels)
        wrong = torch.zeros(labels.shape[0], dtype=torch.bool, device=labels.device)
        broken = torch.zeros_like(wrong)
        unknown = torch.full(labels.shape[:1], torch.nan, device=labels.device)

        def visit(best: Best, images: Tensor, outputs: Tensor, losses: Tensor) -> None:
            best.offer(images, outputs, losses)
            wrong.logical_or_(_wrong(outputs, labels))
            broken.logical_or_(losses.isnan())

        self._look(network, batch.images, labels, partial(visit, clean))
        below = clean
        for number, attack in enumerate(self.attacks):
            if attack.ball.eps == 0:
                pool.append((clean, wrong.clone(), unknown))
                continue
            best = Best(below.images, labels)
            best.losses = below.losses.clone()
            still = torch.zeros(labels.shape[0], dtype=torch.bool, device=labels.device)
            if self.frozen:
                held = self.frozen[number][batch.start : batch.start + len(labels)]
                self._look(network, held, labels, partial(visit, best))
            for restart in range(attack.restarts):
                x = attack.climb(
                    network,
                    batch.images,
                    labels,
                    self._start(number, restart, batch),
                    loss=objective.loss,
                    visit=partial(visit, best),
                    flat=still.logical_or_ if restart == 0 else None,
                )
                self._look(network, x, labels, partial(visit, best))
            pool.append((best, wrong.clone(), still.float()))
            below = best
            # The worst loss of a ball in which the net overflows is no number, whatever else was found there.
            best.losses = torch.where(broken, torch.nan, best.losses)
        return pool

    def _held(self, network: Network, batch: Batch) -> list[tuple[Best, Tensor, Tensor]]:
        labels = batch.labels
        unknown = torch.full(labels.shape[:1], torch.nan, device=labels.device)
        rows = []
        for images in self.frozen:
            held = images[batch.start : batch.start + len(labels)]
            best = Best(held, labels)
            with torch.no_grad():
                outputs = network(held)
                best.losses = per_example(self.objective.loss, outputs, labels)
            rows.append((best, _wrong(outputs, labels), unknown))
        return rows

    def _look(
        self, network: Network, images: Tensor, labels: Tensor, visit: Callable[[Tensor, Tensor, Tensor], None]
    ) -> None:
        with torch.no_grad():
            outputs = network(images)
            visit(images, outputs, per_example(self.objective.loss, outputs, labels))

    def _start(self, number: int, restart: int, batch: Batch) -> Tensor:
        """Return where the cold ascent begins: the same at every point, a function of the example and the restart."""
        key = number, restart, batch.start, len(batch.labels)
        if key in self._starts:
            return self._starts[key]
        attack, name = self.attacks[number], f"attack/restart{restart}"
        drawn = attack.start != "zero"
        streams = example_streams(self.objective.seed, name, batch.indices.tolist()) if drawn else []
        start = attack.start_images(batch.images, streams)
        if self._kept + start.nbytes <= _KEPT_STARTS:
            self._starts[key] = start
            self._kept += start.nbytes
        return start

    def _clean_loss(self, network: Network) -> float:
        total = 0.0
        with evaluating(self.objective.model), full_precision(), torch.no_grad():
            for batch_loss in self.objective.over_batches(
                lambda batch: per_example(self.objective.loss, network(batch.images), batch.labels).double().sum()
            ):
                total += float(batch_loss)
        return total / self.objective.n

    def _clean_only(self, network: Network, losses: Tensor, wrong: Tensor, flat: Tensor) -> Found:
        if self.eps[0] == 0:
            rung = Ladder(self.objective, self.attacks[:1]).evaluate(network)
            losses[0], wrong[0] = rung.losses[0], rung.wrong[0]
        return Found(losses, wrong, flat, skipped=True, judged=self.judges)

    def _over(self, work: Callable[[Batch], Batch], progress: Callable[[int, int], None] | None = None) -> None:
        done = 0
        with evaluating(self.objective.model), full_precision():
            for batch in self.objective.over_batches(work, batches_at_once=_AT_ONCE):
                done += len(batch.labels)
                if progress is not None:
                    progress(done, self.objective.n)


def _wrong(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return which examples (B,) are classified wrongly: an output that is not a number is wrong too."""
    if not are_scores(outputs, labels):
        return torch.zeros(labels.shape[0], dtype=torch.bool, device=labels.device)
    return (outputs.argmax(dim=1) != labels) | outputs.isnan().any(dim=1)
