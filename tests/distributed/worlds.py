"""Commands in forked processes, as torchrun would start them: what each printed, with which exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A net of 610 parameters.
NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Softplus(), nn.Linear(8, 10))
"""

Before = Callable[[int], None]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def say(words: Sequence[str], path: Path) -> None:
    """Call the command line, and leave what it prints, and its exit code in the last line, at `path`."""
    from landscape.cli import main

    code: object = 0
    with path.open("w") as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(list(words), prog_name="landscape")
        except SystemExit as stop:
            code = stop.code or 0
        print(f"exit {code}", flush=True)


def fork(world: int, work: Callable[[int], object], folder: Path, *, seconds: int = 120) -> None:
    """Call `work` with the rank in each of `world` processes that find one another, as torchrun would start them."""
    folder.mkdir(parents=True)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(world)}
    children = []
    for rank in range(world):
        child = os.fork()
        if child:
            children.append(child)
            continue
        signal.alarm(seconds)  # whoever hangs does not outlive the test by much
        try:
            os.environ.update(place | {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world)})
            work(rank)
        except BaseException:  # noqa: BLE001  # a forked process must not go on as a second one of this script
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)


def forked(world: int, words: Callable[[int], Sequence[str]], folder: Path, *, before: Before | None = None) -> None:
    """Run a command in `world` processes in the present folder; `before` is called with the rank in each.

    What each says is left in folder/RANK.txt; one that was killed leaves no exit code there.
    """

    def work(rank: int) -> None:
        if before is not None:
            before(rank)
        say(words(rank), folder / f"{rank}.txt")

    fork(world, work, folder)


def run_main(module: str, folder: Path) -> None:
    """Call `main(folder)` of a module of tests in a process of its own, which forks before it has threads."""
    code = f"import sys, pathlib; from {module} import main; main(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def killed(who: int, owner: type, name: str, at: int) -> Before:
    """Return what lets a process be killed when it calls a method for the `at`-th time."""

    def before(rank: int) -> None:
        from landscape.commands import partial
        from landscape.distributed import queue
        from landscape.training import curve_run

        queue.SILENCE = 2.0  # type: ignore[attr-defined]  # of a process that nobody else looks after
        partial.SECONDS_BETWEEN_WRITES = partial._SHARE = 0  # type: ignore[assignment]
        curve_run._Keeper.before_batch = lambda self: self.write("partial")  # type: ignore[method-assign]
        if rank != who:
            return
        method, calls = getattr(owner, name), iter(range(1, at + 1))

        def dying(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **kwargs)

        dying.__name__ = name
        setattr(owner, name, dying)

    return before
