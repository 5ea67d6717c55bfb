"""Who withstands what: one net's verdicts on each example under each attack, batch by batch, resumable after any."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..attacks.scores import Tick, borrowed_scores
from ..borrow import evaluating, full_precision
from ..data import Examples, to_unit
from ..distributed import ALONE, Group
from ..errors import LandscapeError
from ..losses import Loss, cross_entropy
from ..memory import SavedBytes, available_bytes, out_of_memory
from .ascent import fool
from .suite import CLEAN, Attack, Suite

_log = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
UNKNOWN, WRONG, RIGHT = -1, 0, 1
MOST_AT_ONCE = {"cpu": 256, "cuda": 1024}  # more buys no speed
_BATCHES_EACH, _LEAST = 3, 64  # of several processes; examples
_SHARE = 4  # of the free memory, an attack's own copies and the other tenants of the machine take the rest


class Examinee:
    """One net and the examples that it is judged on: n images in [0, 1], on the net's device when they are used.

    `loss` is what PGD climbs; the other attacks have losses of their own. The processes of a `group` each have one, and
    share what `over` is asked for.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        loss: Loss = cross_entropy,
        group: Group = ALONE,
    ) -> None:
        self.loss = loss
        first = next(model.parameters())
        self.model, self.examples, self.seed, self.group = model, examples, seed, group
        self.device, self.dtype = first.device, first.dtype
        self.batch_size = batch_size or group.from_first(self._fitting)
        self._together = self.batch_size  # what the processes have agreed on, whatever memory one of them has

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """Return the images (B, ...) and labels (B,) at these positions, and their indices in the data set."""
        images = to_unit(self.examples.images[positions], device=self.device, dtype=self.dtype)
        return images, self.examples.labels[positions].to(self.device), self.examples.indices[positions].tolist()

    def over(
        self, positions: Tensor, work: Callable[[Tensor], np.ndarray], *, tick: Tick | None = None
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Yield (positions, work(positions)) a batch at a time; where memory runs out, half as many are taken.

        Where several processes share the batches, `tick` is called while one waits for the others.
        """
        if self.group.world == 1:
            yield from self._over(positions, work)
            return
        # Some batches for each, since an attack takes longer on some examples than on others; but none so small that
        # its calls take the time, and not its examples.
        each = -(-len(positions) // self.group.world)
        size = min(self._together, max(-(-each // _BATCHES_EACH), min(each, _LEAST)))
        parts = list(positions.split(size)) if len(positions) else []

        def whole(part: Tensor) -> np.ndarray:
            return np.concatenate([found for _, found in self._over(part, work)])

        for number, found in self.group.shared_out(parts, whole, tick=tick):
            yield parts[number], found

    def _over(self, positions: Tensor, work: Callable[[Tensor], np.ndarray]) -> Iterator[tuple[Tensor, np.ndarray]]:
        start = 0
        while start < len(positions):
            part = positions[start : start + self.batch_size]
            try:
                done = work(part)
            except Exception as error:
                if not out_of_memory(error) or self.batch_size == 1:
                    raise
            else:
                start += len(part)
                yield part, done
                continue
            # Outside the handler: the traceback would hold the tensors that must go.
            self.batch_size //= 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            _log.info("memory ran out; going on with %d examples at a time", self.batch_size)

    def right(self, positions: Tensor, *, tick: Tick | None = None) -> np.ndarray:
        """Return whether the net is right (B,) on the clean images, once it has passed for a net that can be attacked.

        Raises UsageError where it is randomised or gives probabilities, LandscapeError where it gives NaN.
        """
        images, labels, _ = self.batch(positions)
        with borrowed_scores(self.model, images, labels, tick=tick) as (_, scores):
            right: np.ndarray = (scores.argmax(1) == labels).cpu().numpy()
        return right

    def withstands(self, attack: Attack, positions: Tensor, *, tick: Tick | None = None) -> np.ndarray:
        """Return whether the net is right (B,) on what the attack makes of images that it is right on.

        The attack's word does not count: its images are checked to lie in the ball and the box, and judged once more.
        """
        images, labels, indices = self.batch(positions)
        if isinstance(attack, PGD):
            found = fool(attack, self.model, images, labels, loss=self.loss, seed=self.seed, indices=indices, tick=tick)
        else:
            found = attack(self.model, images, labels, seed=self.seed, indices=indices, tick=tick)
        _check_inside(attack, found, images)
        with evaluating(self.model), full_precision(), torch.no_grad():
            right: np.ndarray = (self.model(found).argmax(1) == labels).cpu().numpy()
        return right

    def _fitting(self) -> int:
        """Return how many examples to take at a time: as many as a share of the free memory holds, a power of 2."""
        most = MOST_AT_ONCE["cuda" if self.device.type == "cuda" else "cpu"]
        images = self.batch(torch.zeros(1, dtype=torch.int64))[0].requires_grad_()
        with evaluating(self.model), torch.enable_grad(), SavedBytes(exclude=self.model.parameters()) as saved:
            self.model(images)
        fits = available_bytes(self.device) // (_SHARE * max(saved.total, 1))
        return max(1, min(most, 1 << max(int(fits).bit_length() - 1, 0)))


class Verdicts:
    """One net's verdicts (A, n) under the attacks of a suite: UNKNOWN, WRONG or RIGHT; those on clean images beside.

    They are a plain array that a snapshot can keep and hand back: what is known is not computed again. An example that
    is wrong unattacked is wrong under every attack, which contains the clean image; it meets none.
    """

    def __init__(self, suite: Suite, n: int) -> None:
        self.suite = suite
        self.clean = np.full(n, UNKNOWN, dtype=np.int8)
        self.table = np.full((len(suite.names), n), UNKNOWN, dtype=np.int8)

    @property
    def correct(self) -> np.ndarray:
        """The verdicts (A, n) as truth values, once all are known."""
        if (self.table == UNKNOWN).any():
            raise ValueError("some verdicts are unknown; run the examination to its end")
        return self.table == RIGHT

    def examine(self, examinee: Examinee, *, report: Report | None = None) -> Iterator[None]:
        """Judge what is unknown, attack by attack; yield after each batch, where the state is whole.

        `report(attack, done, total)` is called at every forward pass, and may raise to stop.
        """
        yield from self._judged(self.clean, CLEAN, None, examinee, report)
        standing = self.clean == RIGHT
        for row, name, attack in zip(self.table, self.suite.names, self.suite.attacks, strict=True):
            if attack is None:
                row[:] = self.clean
                continue
            row[~standing] = WRONG
            yield from self._judged(row, name, attack, examinee, report)
            if self.suite.cascade:
                standing = standing & (row == RIGHT)

    def _judged(
        self, row: np.ndarray, name: str, attack: Attack | None, examinee: Examinee, report: Report | None
    ) -> Iterator[None]:
        """Fill in what is unknown in `row`, yielding after each batch."""
        todo = np.flatnonzero(row == UNKNOWN)
        settled = len(row) - len(todo)

        def tick() -> None:
            if report is not None:
                report(name, int((row != UNKNOWN).sum()) - settled, len(todo))

        def judge(part: Tensor) -> np.ndarray:
            return examinee.right(part, tick=tick) if attack is None else examinee.withstands(attack, part, tick=tick)

        for part, right in examinee.over(torch.from_numpy(todo), judge, tick=tick):
            row[part.numpy()] = right
            yield
        tick()


def _check_inside(attack: Attack, found: Tensor, images: Tensor) -> None:
    # The package draws in float32, and eps is added and subtracted: a pixel may lie a rounding outside.
    slack = 8 * torch.finfo(torch.float32).eps * (1 if attack.ball.norm == "linf" else images[0].numel() ** 0.5)
    shift = (found - images).flatten(1)
    lengths = shift.abs().amax(1) if attack.ball.norm == "linf" else shift.norm(dim=1)
    outside = (lengths > attack.ball.eps + slack) | (found.flatten(1).amin(1) < 0) | (found.flatten(1).amax(1) > 1)
    if bool(outside.any()):
        raise LandscapeError(
            f"{attack} left the ball of eps {attack.ball.eps:g} or the box [0, 1] on {int(outside.sum())} of "
            f"{len(images)} images, which is a fault of the attack; evaluate without it"
        )
