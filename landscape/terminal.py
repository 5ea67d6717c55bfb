"""What a person sees while a command runs and when it ends: progress with time left, a table, the next command."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

Report = Callable[[str, int, int], None]


@contextlib.contextmanager
def progress(*, quiet: bool = False, prefix: str = "") -> Iterator[Report]:
    """Yield `report(stage, done, total)`, which draws a bar with time left, and is where an interruption is heeded.

    Ctrl-C or SIGTERM waits for the next report, where what is done is whole; a second one stops at once.
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
        disable=quiet or not sys.stderr.isatty(),
    )
    tasks: dict[str, TaskID] = {}
    with _interruptions() as check, bars:

        def report(stage: str, done: int, total: int) -> None:
            check()
            if stage not in tasks:
                for task in tasks.values():
                    bars.stop_task(task)
                tasks[stage] = bars.add_task(f"{prefix}{stage}")
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report


@contextlib.contextmanager
def _interruptions() -> Iterator[Callable[[], None]]:
    heard: list[int] = []

    def listen(number: int, frame: FrameType | None) -> None:
        if heard:
            raise KeyboardInterrupt("interrupted at once")
        heard.append(number)
        print("finishing the step in hand; once more to stop at once", file=sys.stderr)

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check  # only the main thread hears signals
        return
    before = {number: signal.signal(number, listen) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a title on one line and a table under it on standard output, numbers to the right."""
    print(title)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print (name, text) lines on standard output, names in a column of their own."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs:
        table.add_row(name, text)
    Console().print(table)


def say(text: str) -> None:
    """Print a line on standard output, whole, so that a command in it can be copied."""
    print(text)
