"""What a person sees while a command runs and when it ends: progress with time left, a table, the next command."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .launch import launched

Report = Callable[[str, int, int], None]

_SECONDS_BETWEEN_LINES = 60  # of a long stage under -v
_ENDLESS = 1000  # columns, by which a table is measured: it is never cut, and in a narrower terminal its lines wrap


class Interruption(KeyboardInterrupt):
    """An interruption that waited for a report, where what is done is whole and may be saved."""


@contextlib.contextmanager
def progress(*, quiet: bool = False, verbose: bool = False, prefix: str = "") -> Iterator[Report]:
    """Yield `report(stage, done, total)`, which draws a bar with time left, and is where an interruption is heeded.

    Ctrl-C or SIGTERM waits for the next report, or the end of the block, and raises Interruption there; a second one
    raises KeyboardInterrupt at once. Where standard error is no terminal there is no bar. `verbose` writes a line for
    each stage as it ends, and each minute of a long one, and all that the library logs, to standard
    error; without it, the warnings of the library alone. Of several processes that were started together, further
    signals are the first one said again: a launcher passes on what the terminal has sent already.
    """
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # what is said belongs on standard output, wherever the bar is
        disable=quiet or not sys.stderr.isatty(),
    )

    def note(line: str) -> None:
        text = shown(line if line.startswith(prefix) else f"{prefix}{line}")
        bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    stages = _Stages(note if verbose and not quiet else None)
    with (
        _interruptions(quiet=quiet, patient=launched()) as check,
        bars,
        _logged(None if quiet else note, logging.INFO if verbose else logging.WARNING),
    ):

        def report(stage: str, done: int, total: int) -> None:
            check()
            if stages.enter(stage, done, total):
                for task in bars.task_ids:
                    bars.remove_task(task)
                bars.add_task(f"{prefix}{stage}", total=total or None)
            bars.update(bars.task_ids[-1], completed=done, total=total or None)

        yield report
        stages.leave()
        check()


class _Stages:
    """The stage that is running, and under -v a line for each."""

    def __init__(self, note: Callable[[str], None] | None) -> None:
        self._note = note
        self._stage = ""
        self._began = self._told = 0.0
        self._done = ""

    def enter(self, stage: str, done: int, total: int) -> bool:
        """Take note of where a stage stands; return whether it is a new one."""
        now = time.monotonic()
        new = stage != self._stage
        if new:
            self.leave()
            self._stage, self._began, self._told = stage, now, now
        self._done = f"{done:,} of {total:,}" if total else f"{done:,}"
        if self._note is not None and now - self._told > _SECONDS_BETWEEN_LINES:
            self._note(f"{stage}: {self._done} after {now - self._began:.0f} s")
            self._told = now
        return new

    def leave(self) -> None:
        """Say how long the stage took."""
        if self._stage and self._note is not None:
            self._note(f"{self._stage}: {self._done} in {time.monotonic() - self._began:.1f} s")
        self._stage = ""


@contextlib.contextmanager
def _logged(note: Callable[[str], None] | None, level: int) -> Iterator[None]:
    if note is None:
        yield
        return
    write = note

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            write(record.getMessage())

    logger, lines = logging.getLogger(__package__), Lines()
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(lines)


@contextlib.contextmanager
def _interruptions(*, quiet: bool = False, patient: bool = False) -> Iterator[Callable[[], None]]:
    heard: list[int] = []

    def listen(number: int, frame: FrameType | None) -> None:
        if heard and not patient:
            raise KeyboardInterrupt("interrupted at once")
        if not heard and not quiet:
            # Not print: the signal may have come in the midst of a print, and a buffer is not to be entered twice.
            once_more = b"" if patient else b"; once more to stop at once"
            os.write(2, b"finishing the step in hand" + once_more + b"\n")
        heard.append(number)

    def check() -> None:
        if heard:
            raise Interruption("interrupted")

    if threading.current_thread() is not threading.main_thread():
        yield check  # only the main thread hears signals
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]  # nohup, cmd &
    before = {number: signal.signal(number, listen) for number in numbers}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a title on one line and a table under it on standard output, numbers to the right."""
    say(title)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(Text(shown(name)), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))  # as text: rich would take [/net] for its own markup
    Console(width=Console(width=_ENDLESS).measure(table).maximum).print(table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print (name, text) lines on standard output, names in a column of their own; in a file no line is folded."""
    if not sys.stdout.isatty():
        width = max(len(name) for name, _ in pairs)
        for name, text in pairs:
            say(f"{name:<{width}}  {text}")
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs:
        table.add_row(Text(shown(name)), Text(shown(text)))
    Console().print(table)


def shown(text: str) -> str:
    """Return a text as a terminal may be given it: what moves its cursor or turns its letters round is written out.

    Names and settings come out of files that strangers made.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def percent(share: float) -> str:
    """Return a share of examples as a table has it; an unknown one, where labels are no classes, as a dash."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def say(text: str) -> None:
    """Print a line on standard output, whole, so that a command in it can be copied."""
    print(shown(text))


def say_next(*words: str | Path) -> None:
    """Say the command to type next, quoted so that it can be pasted."""
    say(f"next: {shlex.join(map(str, words))}")


def warn(text: str) -> None:
    """Print a line on standard error."""
    print(shown(text), file=sys.stderr)
