"""One job, as Snakemake starts it: `python -m landscape.reproduction.step LOG OUT -- WORDS`.

It goes on where an interrupted run of the same words left off, and begins anew after one of other words; what is said
goes to the job's log. A result that has not converged (exit code 3) is a result: its figure says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import journal
from .graph import argv_of

NOT_CONVERGED = 3


def main(arguments: Sequence[str]) -> int:
    """Run the words after `--` and return the exit code that Snakemake is to see."""
    log, out, _, *words = arguments
    path = Path(log)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            return _run(path, file.fileno(), Path(out), words)
    except OSError as error:
        # The driver tells why a job failed from its log; where there can be none, this is said at once.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        sys.stderr.write(f"{out}: {'the disk is full' if full else error.strerror or error}\n")
        return 1


def _run(log: Path, descriptor: int, out: Path, words: Sequence[str]) -> int:
    waited = not _locked(descriptor)
    if waited:  # what an earlier, killed run has left running holds its log
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    last, own = journal.last_entry(log), journal.head(shlex.join(words))
    same = last is not None and own == journal.head(last.typed, last.version)
    if waited and same and out.exists():
        return 0
    _say(descriptor, own)
    began, before = time.monotonic(), _of_children()
    # An interruption comes to the command too; it saves, and its end is waited for.
    listening = signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        _argv(words, fresh=not same, out=out),
        stdin=subprocess.DEVNULL,
        stdout=descriptor,
        stderr=descriptor,
        pass_fds=[descriptor],
        env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg", **os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    code = child.wait()
    signal.signal(signal.SIGINT, listening)
    if code in (0, NOT_CONVERGED):
        _say(descriptor, journal.done(time.monotonic() - began, _of_children() - before))
        return 0
    _say(descriptor, journal.failed(code))
    return code if code > 0 else 128 - code


def _argv(words: Sequence[str], *, fresh: bool, out: Path) -> list[str]:
    """Return the command to start.

    `landscape train` goes on with NAME.resume.pt unless it is told to overwrite; all others go on with what fits their
    settings and pass over the rest when they are told to.
    """
    if words[0] != "landscape":
        return argv_of(words)
    going_on = words[1] == "train" and not fresh and out.with_name(f"{out.stem}.resume.pt").exists()
    return [*argv_of(words), *([] if going_on else ["--overwrite"])]


def _of_children() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say(descriptor: int, line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
