"""Tasks handed out to whoever is free, their results to all; the first process has each as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .bond import SILENCE, Bond
from .wire import Elsewhere, Lost, broadcast_object

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

_POLL = 0.01  # seconds between looks for what others have done
_LISTEN = 1.0  # seconds between looks for whether they live


@dataclass(frozen=True)
class _Failure:
    rank: int
    words: str


class Queue(Generic[Task, Outcome]):
    """The tasks of one queue: a counter in the store gives each process its next, and the store takes the results."""

    def __init__(
        self, bond: Bond, tasks: Sequence[Task], work: Callable[[Task], Outcome], tick: Callable[[], None]
    ) -> None:
        self._bond, self._tasks, self._work, self._tick = bond, tasks, work, tick
        self._name = f"queue{next(bond.queues)}"
        self._away: set[int] = set()  # tasks that others have taken, as far as is known here
        self._next = 0

    def lead(self) -> Iterator[tuple[int, Outcome]]:
        """Yield (number, outcome) of every task in the first process, its own and the others', as they are done."""
        found: list[Any] = [None] * len(self._tasks)
        try:
            for number, outcome in self._led():
                found[number] = outcome
                yield number, outcome
        except (KeyboardInterrupt, Lost):
            yield from self._arrived()  # what others have done meanwhile is kept
            raise
        broadcast_object(found)

    def follow(self) -> Iterator[tuple[int, Outcome]]:
        """Yield the same in another process, once all is done."""
        while (number := self._take()) < len(self._tasks):
            try:
                outcome: Outcome | _Failure = self._work(self._tasks[number])
            except Exception as error:
                failure = _Failure(self._bond.rank, str(error) or type(error).__name__)
                self._bond.post(self._key(number), failure)
                raise
            self._bond.post(self._key(number), outcome)
        yield from enumerate(broadcast_object(None))

    def _led(self) -> Iterator[tuple[int, Outcome]]:
        while (number := self._take()) < len(self._tasks):
            yield number, self._work(self._tasks[number])
            yield from self._arrived()
        listened = time.monotonic()
        while self._away:
            self._tick()
            yield from self._arrived()
            if time.monotonic() - listened > _LISTEN:
                self._listen()
                listened = time.monotonic()
            time.sleep(_POLL)

    def _take(self) -> int:
        self._tick()
        number = self._bond.count(self._name, 1) - 1
        self._away.update(range(self._next, min(number, len(self._tasks))))
        self._next = number + 1
        return number

    def _arrived(self) -> Iterator[tuple[int, Outcome]]:
        for number in sorted(self._away):
            for outcome in self._bond.fetch(self._key(number)):
                self._away.remove(number)
                if isinstance(outcome, _Failure):
                    raise Elsewhere(f"{self._bond.named([outcome.rank])}: {outcome.words}")
                yield number, outcome

    def _listen(self) -> None:
        """Raise Lost where a process whose results are waited for has left, or is not heard any more."""
        if left := [other for other in range(1, self._bond.world) if self._bond.has_left(other)]:
            raise Lost(f"{self._bond.named(left)} has left this run")
        if silent := self._bond.silent(SILENCE):
            raise Lost(f"{self._bond.named(silent)} has not been heard of for {SILENCE:.0f} s")

    def _key(self, number: int) -> str:
        return f"{self._name}/{number}"
