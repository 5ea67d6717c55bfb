from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from figures.fig3_hessian import main
from tests.results.made import hessian
from tests.results.made_surface import surface

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    made = []
    for eps, top in ((0.0, 22.0), (0.1, 48.0)):
        result = hessian(eps=eps, train_eps=eps, top=top, training={"eps": eps, "seed": 3})
        made.append(result.save(tmp_path / "results" / f"n{eps}.h5"))
    return made


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("out", ["fig3.png", "."])
def test_it_writes_picture_numbers_and_provenance(results: list[Path], tmp_path: Path, out: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    done = invoke(*results, "-o", folder / out)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in folder.iterdir()) == ["fig3.csv", "fig3.json", "fig3.pdf", "fig3.png"]
    rows = list(csv.DictReader((folder / "fig3.csv").read_text().splitlines()))
    assert len(rows) == 40
    assert [float(row["eigenvalues"]) for row in rows if row["eps"] == "0.1"] == hessian(top=48.0).eigenvalues.tolist()
    assert {row["training_seed"] for row in rows} == {"3"}
    made = json.loads((folder / "fig3.json").read_text())
    assert [entry["sha256"] for entry in made["inputs"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in results
    ]
    assert made["outputs"] == ["fig3.pdf", "fig3.png", "fig3.csv"]
    assert made["command"].startswith("fig3_hessian.py")


def test_files_of_other_kinds_are_left_out_and_named(results: list[Path], tmp_path: Path) -> None:
    other = surface().save(tmp_path / "other.h5")
    done = invoke(*results, other, "-o", tmp_path / "f.pdf")
    assert done.exit_code == 0
    assert json.loads((tmp_path / "f.json").read_text())["left_out"] == [str(other)]
    assert f"left out {other}" in done.output
    done = invoke(other, "-o", tmp_path / "g.pdf")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "none of the 1 files is a hessian result" in done.output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("none.h5", None, "is not there"), ("page.h5", b"<html>", "is no HDF5 file"), ("empty.h5", b"", "is empty")],
)
def test_bad_input_is_one_sentence(
    results: list[Path], tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    done = invoke(results[0], bad, "-o", tmp_path / "out" / "fig3.pdf")
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {bad} {message}")
    assert done.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_repeat_replaces_its_files_and_help_says_so(results: list[Path], tmp_path: Path) -> None:
    assert "Files of these names are replaced." in invoke("--help").output
    for _ in range(2):
        assert invoke(*results, "-o", tmp_path / "fig.pdf").exit_code == 0


def test_wrong_usage_exits_with_2(results: list[Path], tmp_path: Path) -> None:
    assert invoke().exit_code == 2
    done = invoke(results[0], "-o", results[0])
    assert done.exit_code == 2
    assert "ends in .h5; wanted .pdf or .png" in done.output
    assert results[0].read_bytes().startswith(b"\x89HDF")


@pytest.mark.parametrize("how", ["script", "module"])
def test_it_runs_in_a_checkout_without_torch(results: list[Path], tmp_path: Path, how: str) -> None:
    """The script finds the package beside it by itself: -I leaves the working directory out of the search."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    arguments = [str(path) for path in results] + ["-o", str(tmp_path / "fig3.pdf")]
    if how == "script":
        command, folder = [sys.executable, "-I", str(ROOT / "figures" / "fig3_hessian.py")], tmp_path
    else:
        command, folder = [sys.executable, "-m", "landscape.figures.fig3_hessian"], ROOT
    code = "" if how == "script" else os.pathsep.join([str(tmp_path)])
    done = subprocess.run(
        command + arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": code},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (tmp_path / "fig3.png").is_file()


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, figures.fig3_hessian; print([name for name in sys.modules if name.startswith('torch')][:3])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
