"""Peak memory of one contender in a process of its own: what its solve adds to a process that holds the problem."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from line_up import contenders
from problems import CASES, make_problem


def peak_mib(case: str, n: int, contender: str, *, k: int, data_dir: Path | None) -> float:
    """Return the MiB that a contender's solve adds at its peak, measured in a child process on the same problem."""
    command = [sys.executable, __file__, case, str(n), contender, str(k)]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    added: float = json.loads(finished.stdout)
    return added


def _child() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case")
    parser.add_argument("n", type=int)
    parser.add_argument("contender")
    parser.add_argument("k", type=int)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problem = make_problem(CASES[arguments.case], arguments.n, data_dir=arguments.data_dir)
    (contender,) = (one for one in contenders() if one.name == arguments.contender)
    contender.solve(make_problem(CASES["tiny"], 40), 2, seed=0, short=True)  # loads all that it imports
    _forget_peak()
    before = psutil.Process().memory_info().rss
    contender.solve(problem, arguments.k, seed=0, short=True)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before) / 2**20))


def _forget_peak() -> None:
    # Linux lets a process put its high-water mark back to where it is; elsewhere an earlier peak may stand above.
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="ascii")


if __name__ == "__main__":
    _child()
