"""docs/extend.md is run: its files go into a copy of the package, and the new command into the real command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
RUN = """
import importlib.util
from landscape.cli import main

for words in (
    ["margin", "digits/eps0.1", "--n-examples", "100", "--out", "m.h5"],
    ["margin", "digits/eps0.1", "--n-examples", "100", "--out", "m.h5"],
    ["plot", "m.h5"],
    ["info", "m.h5"],
    ["recheck", "m.h5"],
):
    assert main(words, standalone_mode=False) in (None, 0), words
spec = importlib.util.spec_from_file_location("test_margin", "tests/analyses/test_margin.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.test_the_margin_of_a_linear_net_falls_by_eps_times_its_dual_norm()
"""


def blocks(language: str) -> dict[str, str]:
    """Return the page's blocks by the file that their first line names."""
    found = re.findall(rf"^```{language}\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return dict(found)


def apply(diff: str, text: str) -> str:
    """Return a text with the lines that a diff adds, each after the line above it, which stands there once."""
    for place, new in re.findall(r"^ (.*\n)((?:\+.*\n)*)", diff, re.MULTILINE):
        assert text.count(f"\n{place}") == 1, place
        text = text.replace(f"\n{place}", f"\n{place}" + "".join(line[1:] for line in new.splitlines(keepends=True)))
    return text


def test_the_worked_example_runs(tmp_path: Path) -> None:
    for folder in ("landscape", "analyses", "figures", "checkpoints"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", tmp_path)  # by which the package knows a checkout
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    files = blocks("python")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name, diff in blocks("diff").items():
        file = tmp_path / name
        file.write_text(apply(diff, file.read_text(encoding="utf-8")), encoding="utf-8")
    for check in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, *files], cwd=tmp_path, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote m.h5" in done.stdout
    assert "PASS" in done.stdout
    assert (tmp_path / "m.png").is_file()
