"""The batch script of docs/scale.md, as it stands there, with stand-ins for SLURM; a process that torchrun loses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.commands.runner import landscape

ROOT = Path(__file__).resolve().parents[2]
# The second process is killed once the scan has kept two points.
NET = """
import os, signal
from pathlib import Path
from torch import nn

class Net(nn.Sequential):
    def forward(self, x):
        if os.environ.get("RANK") == "1" and Path("die").exists():
            from landscape.results import growing_progress
            try:
                if growing_progress("s.h5.partial")[0] >= 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            except Exception:
                pass
        return super().forward(x)

def build():
    return Net(nn.Flatten(), nn.Linear(64, 8), nn.Softplus(), nn.Linear(8, 10))
"""
SCAN = "surface one.pt --model net.py:build --data digits --n-examples 23 --eps 0.1 --dirs random --grid 9x9"
WORDS = [*SCAN.split(), "--range", "0.5", "--audit", "0", "--device", "cpu", "--out", "s.h5"]


def script() -> str:
    (found,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", (ROOT / "docs/scale.md").read_text(), re.DOTALL)
    return str(found)


def stand_in(name: str, body: str) -> None:
    path = Path("bin") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def test_the_batch_script_runs_and_a_process_that_dies_under_torchrun_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.py").write_text(NET)
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Softplus(), torch.nn.Linear(8, 10)
    )
    torch.save(layers.state_dict(), "one.pt")
    Path("die").touch()
    Path("landscape.sbatch").write_text(script())
    assert subprocess.run(["bash", "-n", "landscape.sbatch"], check=False).returncode == 0
    stand_in("scontrol", "echo localhost")
    stand_in("srun", '[ "$1" = --kill-on-bad-exit=1 ] && shift\nexec "$@"')
    stand_in("torchrun", f'exec "{sys.executable}" -m torch.distributed.run "$@"')
    place = {"SLURM_JOB_NODELIST": "localhost", "SLURM_JOB_NUM_NODES": "1", "SLURM_GPUS_ON_NODE": "2"}
    place |= {"SLURM_JOB_ID": str(os.getpid()), "PATH": f"{Path('bin').resolve()}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "landscape.sbatch", *WORDS],
        env={**os.environ, **place, "PYTHONPATH": f"{ROOT}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    told = "process 2 of 2 is gone; each finished point is in s.h5.partial, and the same command goes on from there"
    assert f"Error: {told}" in done.stderr, done.stderr
    assert not Path("s.h5").exists()
    Path("die").unlink()
    resumed = landscape(*WORDS)
    assert resumed.code == 0 and "wrote s.h5" in resumed.out
