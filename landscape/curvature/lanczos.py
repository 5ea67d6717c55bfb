"""The extreme eigenpairs of a symmetric operator by thick-restart Lanczos, with a guard against missed ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import LandscapeError, UsageError
from ..memory import available_bytes
from ..spec import nearest
from .basis import STORED
from .krylov import KrylovSpace, SymmetricOperator

_log = logging.getLogger(__name__)

_ASYMMETRY = 100  # times the rounding of a product: beyond it, a residual bounds no error
GUARD_CONFIDENCE = 0.99
SPARE, _AT_WORK = 3, 2  # rows beyond those of the steps; vectors in float64 beside the basis
_ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "la": lambda values: np.argsort(-values, kind="stable"),
    "lm": lambda values: np.argsort(-np.abs(values), kind="stable"),
    "sa": lambda values: np.argsort(values, kind="stable"),
}
WHICH = tuple(_ORDERS)


def guard_steps(n: int) -> int:
    """Return how many steps the guard takes in R^n: a random start holds about 1/sqrt(n) of a missed vector."""
    return math.ceil(math.log(max(n, 2))) + 2


@dataclass(frozen=True)
class Room:
    """How many rows of a basis there is room for, besides the guard's; where they lie; the bytes that all of it takes.

    The law: rows of R^n in 8, 4 or 2 bytes a number, and in float64 the k vectors that come out of them and two more
    that are at work. A product takes its own (`HessianOperator`).
    """

    rows: int
    home: torch.device
    bytes: int


def find_room(H: SymmetricOperator, k: int, *, guard: int, stored: torch.dtype, max_products: int) -> Room:
    """Return the room for a basis of k pairs: on H's device, or in the host's memory where that has too little.

    Raises LandscapeError, with the bytes that it would take, where neither has enough.
    """
    # Four times k rows restart so seldom that it costs next to nothing; twice k cost a few products more. A run that
    # ends before it restarts has no use for either.
    most, least = (min(rows, max_products + 1) for rows in (max(4 * k, 40), max(2 * k, 20)))
    n, size = H.shape[0], stored.itemsize
    beside = 8 * n * (k + _AT_WORK)
    needed = size * n * (least + guard + SPARE) + beside
    homes = [H.device] if H.device.type == "cpu" else [H.device, torch.device("cpu")]
    for home in homes:
        free = available_bytes(home)
        if needed <= free:
            rows = int(min(most, max(least, free // 4 // (size * n) - guard)))
            if home != H.device:
                _log.info("the basis of %.1f GiB lies in the host's memory: %s has no room", needed / 2**30, H.device)
            return Room(rows, home, size * n * (rows + guard + SPARE) + beside)
    told = " and ".join(f"{available_bytes(home) / 2**30:.1f} GiB are free on {home}" for home in homes)
    smaller = "a smaller --top" if size < 8 else "--basis float32, or a smaller --top"
    rows = least + guard + SPARE
    raise LandscapeError(
        f"{k} eigenpairs of {n:,} parameters need a basis of {needed / 2**30:.1f} GiB ({rows} vectors of {size} bytes "
        f"a parameter and {k + _AT_WORK} of 8), and {told}; try {smaller}"
    )


def guard_resolution(n: int, steps: int, probability: float) -> float:
    """Return r such that the guard's outermost Ritz value misses the eigenvalue there by r times the spectrum's spread.

    Lanczos with a random start in R^n, after `steps` steps, with at least this probability: Kuczynski and Wozniakowski
    (1992), theorem 4.2: P(miss > r) <= 1.648 sqrt(n) exp(-sqrt(r) (2 steps - 1)).
    """
    return min(1.0, (math.log(1.648 * math.sqrt(n) / (1 - probability)) / (2 * steps - 1)) ** 2)


def order_by(which: str, values: np.ndarray) -> np.ndarray:
    """Return the order (k,) of eigenvalues (k,): "la" largest first, "lm" by magnitude, "sa" smallest, as in SciPy."""
    if which not in _ORDERS:
        raise UsageError(f"which = {which!r} is unknown; {nearest(which, WHICH)}")
    return _ORDERS[which](values)


class Lanczos:
    """Find the k wanted eigenpairs of H (P, P): `step` until `done`, or `solve`.

    Wanted pairs are accepted at residual <= max(tol |lambda|, precision scale), where `precision` is the relative
    rounding of a product. Then the guard: an independent random start, orthogonal to the whole space, is developed for
    `guard_steps(P)` products, and the pairs are judged again in the joint space. One start sees one vector of each
    eigenspace; what it missed is orthogonal to its space, where hardly anything else of the top is left, so that a few
    steps bring it out. The pending vectors, to which the guard's start is orthogonal too, are multiplied last: rounding
    grows what was missed from step to step, and they may hold most of it. If a wanted pair changes, the run goes on and
    is guarded again.

    After each step `values (k,)`, `residuals (k,)` and `coordinates (p, k)` are those of the wanted Ritz pairs.
    """

    def __init__(
        self,
        H: SymmetricOperator,
        k: int,
        *,
        which: str = "la",
        tol: float = 1e-3,
        precision: float = 1e-14,
        guard: bool = True,
        capacity: int | None = None,
        max_products: int | None = None,
        generator: torch.Generator | None = None,
        stored: str = "float64",
    ) -> None:
        n = H.shape[0]
        if not 1 <= k <= n:
            raise UsageError(f"top = {k} eigenpairs of a {n} x {n} Hessian; wanted 1 to {n}")
        if not tol > 0:
            raise UsageError(f"tol = {tol}; wanted a positive number, such as 1e-3")
        if max_products is not None and max_products < k:
            raise UsageError(f"{k} eigenpairs take at least {k} products; got max_products = {max_products}")
        order_by(which, np.zeros(1))
        self.k, self.which, self.tol, self.precision = k, which, tol, precision
        # A basis that is stored in less is multiplied as it was rounded, and reckoned with as if it had not been.
        self._rounding = max(precision, 1e-13, 0.0 if stored == "float64" else torch.finfo(STORED[stored]).eps)
        self.guard_steps = guard_steps(n) if guard else 0
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        self.max_products = max(400, 40 * k) if max_products is None else max_products
        rows, home = 0 if capacity is None else max(capacity, k + 8), H.device
        if capacity is None:
            room = find_room(H, k, guard=self.guard_steps, stored=STORED[stored], max_products=self.max_products)
            rows, home = room.rows, room.home
            if hasattr(H, "reserved") and home == H.device:
                H.reserved = room.bytes  # its rows are not touched yet, and would count as free
        self.space = KrylovSpace(H, rows + self.guard_steps + SPARE, generator, home=home, stored=STORED[stored])
        self.values = np.empty(0)
        self.residuals = np.empty(0)
        self.coordinates = np.empty((0, 0))
        self.products = self.guard_products = self.guard_left = self.guard_pending = 0
        self.guard_passed = self.done = False
        self.guard_bound = math.nan

    def solve(self) -> None:
        """Step until done."""
        while not self.done:
            self.step()

    def step(self) -> None:
        """Make one product, and judge what it changed; raise LandscapeError where H turns out not to be symmetric."""
        if not self.space.pending:
            self.space.inject()
        if self.guard_left or self.guard_pending:
            self._guard()
        else:
            self._advance()
        if self.space.asymmetry > _ASYMMETRY * self._rounding * self.space.scale:
            raise LandscapeError(
                f"the Hessian products are not symmetric, by {self.space.asymmetry / self.space.scale:.0e} of their "
                "size: the net computes in less than float32 (autocast?), or an operation of it has a wrong second "
                "derivative; write that one out in plain operations"
            )
        if self.products >= self.max_products:
            self.done = True

    def _advance(self) -> None:
        space = self.space
        if space.room < self._reserve() and space.capacity < space.dimension:
            self._restart()
        space.expand(self._neediest())
        self.products += 1
        converged = self._extract()
        if space.exhausted:
            self.done = self.guard_passed = True
        elif converged and not self.guard_steps:
            self.done = True
        elif converged and space.inject():  # where no dimension is left to start in, the space is soon all of R^P
            self.guard_left, self.guard_pending = self.guard_steps, space.pending - 1

    def _guard(self) -> None:
        self.space.expand(self.space.pending - 1 if self.guard_left else 0)
        self.products += 1
        self.guard_products += 1
        if self.guard_left:
            self.guard_left -= 1
            self.guard_bound = math.nan if self.guard_left else self._bound()
        else:
            self.guard_pending -= 1
        if self.space.exhausted:
            self.guard_left = self.guard_pending = 0
            self.guard_bound = math.nan
            self._extract()
            self.done = self.guard_passed = True
        elif not (self.guard_left or self.guard_pending):
            before = self.values
            if self._extract() and np.all(np.abs(self.values - before) <= self._accepted(before)):
                self.done = self.guard_passed = True
            else:
                self.guard_bound = math.nan

    def _bound(self) -> float:
        """Return how far out an eigenvalue orthogonal to the space could lie and have escaped the guard: 99 % sure."""
        end = self.space.processed
        block = self.space.coupling[end - self.guard_steps : end, end - self.guard_steps : end]
        seen = np.linalg.eigvalsh((block + block.T) / 2)
        # The spread of the spectrum is not known either: both ends may lie r spreads beyond what was seen of them.
        r = guard_resolution(self.space.dimension, self.guard_steps, (1 + GUARD_CONFIDENCE) / 2)
        margin = r / (1 - 2 * r) * (seen[-1] - seen[0]) if r < 0.5 else np.inf
        ends = {"la": seen[-1] + margin, "sa": seen[0] - margin, "lm": max(seen[-1], -seen[0]) + margin}
        return float(ends[self.which])

    def _extract(self) -> bool:
        """Take the wanted pairs out of the space; say whether all k are there and accepted."""
        values, coordinates, residuals = self.space.ritz()
        wanted = order_by(self.which, values)[: self.k]
        self.values, self.residuals, self.coordinates = values[wanted], residuals[wanted], coordinates[:, wanted]
        return len(wanted) == self.k and bool(np.all(self.residuals <= self._accepted(self.values)))

    @property
    def converged(self) -> int:
        """How many of the wanted pairs are accepted so far."""
        return int(np.sum(self.residuals <= self._accepted(self.values)))

    def _accepted(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(self.tol * np.abs(values), self.precision * self.space.scale)

    def _neediest(self) -> int:
        # Of several starts, the one that the worst wanted pair leans on most.
        p, size = self.space.processed, self.space.size
        if self.space.pending < 2 or not len(self.values) or self.coordinates.shape[0] != p:
            return 0
        worst = np.argmax(self.residuals / np.maximum(self._accepted(self.values), np.finfo(float).tiny))
        return int(np.argmax(np.abs(self.space.coupling[p:size, :p] @ self.coordinates[:, worst])))

    def _reserve(self) -> int:
        # Rows for one step, the guard's start and its steps, and what the pending vectors open up.
        return 1 + (self.guard_steps + 1 + self.space.pending if self.guard_steps else 0)

    def _restart(self) -> None:
        values, coordinates, _ = self.space.ritz()
        # Between what is wanted and what fits: enough of the rest that the space need not find it again.
        kept = order_by(self.which, values)[: (self.k + self.space.processed) // 2]
        self.space.restart(values[kept], coordinates[:, kept])
        if self.space.room < self._reserve():  # each start that found something leaves a vector pending
            self.space.widen(self.space.capacity + self._reserve())

    def state(self) -> dict[str, np.ndarray]:
        """Return all that `load` needs to go on bit for bit: views of arrays that the next step changes."""
        counts = [self.products, self.guard_products, self.guard_left, self.guard_pending, self.guard_passed, self.done]
        return {
            **self.space.state(),
            "progress": np.array(counts),
            "guard_bound": np.array(self.guard_bound),
            "values": self.values,
            "residuals": self.residuals,
            "coordinates": self.coordinates,
        }

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        self.space.load(state)
        counts = (int(count) for count in state["progress"])
        self.products, self.guard_products, self.guard_left, self.guard_pending, passed, done = counts
        self.guard_passed, self.done = bool(passed), bool(done)
        self.guard_bound = float(state["guard_bound"])
        self.values, self.residuals, self.coordinates = state["values"], state["residuals"], state["coordinates"]
