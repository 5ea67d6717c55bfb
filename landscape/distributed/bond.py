"""What the processes of a run tell one another beside their sums: that they live, that they leave, what is to do."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from .wire import heard

PULSE = 0.5  # seconds between signs of life
SILENCE = (
    60.0  # seconds without one, after which a process counts as gone: longer than any of them holds the interpreter
)
_LEAVE = "left/{}"


class Bond:
    """The store that process `rank` of `world` shares with the others, and a thread that says that it lives.

    A process that is killed takes no leave and falls silent; one that hangs, falls silent; both are gone.
    """

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store, self.rank, self.world = store, rank, world
        self.queues = itertools.count()  # the same number of each queue in every process: they come to it in one order
        self.members: list[Any] = []  # objects of which every process has its own, by their number
        self.inside = False  # a call that all processes make is under way
        self.broken = False  # such a call has failed: the others wait for no further one
        self._ended = threading.Event()
        self._heard = {other: (-1, time.monotonic()) for other in range(world) if other != rank}
        self._beats = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._beats.start()

    def _beat(self) -> None:
        with contextlib.suppress(RuntimeError):  # the store's owner has ended first
            while not self._ended.is_set():
                self.store.add(f"pulse/{self.rank}", 1)
                self._ended.wait(PULSE)

    def count(self, key: str, by: int) -> int:
        """Add to a counter of the store, and return what it then is."""
        with heard():
            return int(self.store.add(key, by))

    def post(self, key: str, thing: Any) -> None:
        """Leave something in the store."""
        with heard():
            self.store.set(key, pickle.dumps(thing))

    def fetch(self, key: str) -> list[Any]:
        """Return what is in the store under a key, and take it away; nothing where nothing is yet."""
        with heard():
            if not self.store.check([key]):
                return []
            thing = pickle.loads(self.store.get(key))
            self.store.delete_key(key)
        return [thing]

    def leave(self) -> None:
        """Say that this process goes by its own will."""
        self._ended.set()
        self._beats.join()
        with contextlib.suppress(RuntimeError):
            self.store.set(_LEAVE.format(self.rank), "")

    def has_left(self, other: int, *, within: float = 0.0) -> bool:
        """Say whether another process went by its own will, now or in so many seconds."""
        end = time.monotonic() + within
        try:
            while not (left := bool(self.store.check([_LEAVE.format(other)]))) and time.monotonic() < end:
                time.sleep(PULSE / 10)
        except RuntimeError:  # the process that holds the store has ended, one way or the other
            return within > 0
        return left

    def silent(self, limit: float) -> list[int]:
        """Return the processes that have given no sign of life for `limit` seconds; call it again and again."""
        now = time.monotonic()
        for other, (beat, _) in self._heard.items():
            if (latest := self.count(f"pulse/{other}", 0)) != beat:
                self._heard[other] = latest, now
        return [other for other, (_, since) in self._heard.items() if now - since > limit]

    def gone(self) -> list[int]:
        """Return the processes that went without leave, by listening for a few pulses; at once where all are heard."""
        before = {other: self.count(f"pulse/{other}", 0) for other in self._heard}
        doubtful = set(before)
        end = time.monotonic() + 5 * PULSE
        while doubtful and time.monotonic() < end:
            time.sleep(PULSE / 10)
            alive = {other for other in doubtful if self.count(f"pulse/{other}", 0) != before[other]}
            doubtful -= alive | {other for other in doubtful if self.has_left(other)}
        return sorted(doubtful)

    def named(self, ranks: Sequence[int]) -> str:
        """Return how a person is told of processes."""
        return f"process {', '.join(str(rank + 1) for rank in ranks)} of {self.world}"

    def told(self, key: str, word: str, patience: timedelta) -> list[str]:
        """Return what each process says under a key, its own `word` among them, once all have said something."""
        self.store.set(f"{key}/{self.rank}", word)
        keys = [f"{key}/{rank}" for rank in range(self.world)]
        self.store.wait(keys, patience)
        words = [self.store.get(one).decode() for one in keys]
        self.store.set(f"{key}/read/{self.rank}", "")
        if self.rank == 0:  # it may hold the store, and is not to take it away before all have read
            self.store.wait([f"{key}/read/{rank}" for rank in range(self.world)], patience)
        return words
