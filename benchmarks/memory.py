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

_CLEAR = Path("/proc/self/clear_refs")  # a 5 written here puts the mark of peak memory back to what is in use
_STATUS = Path("/proc/self/status")


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
    if _CLEAR.exists():
        _CLEAR.write_text("5", encoding="ascii")
    before = psutil.Process().memory_info().rss
    contender.solve(problem, arguments.k, seed=0, short=True)
    print(json.dumps((_peak_bytes() - before) / 2**20))


def _peak_bytes() -> int:
    # On Linux ru_maxrss starts from the parent's peak, and cannot be put back; the kernel's own mark can.
    if _CLEAR.exists():
        (line,) = (line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _child()
