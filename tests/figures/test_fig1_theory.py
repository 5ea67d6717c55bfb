from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from figures.fig1_theory import main
from landscape.theory import one_dimensional
from tests.plots.test_theory import theory
from tests.results.made import hessian

ROOT = Path(__file__).resolve().parents[2]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_without_files_it_draws_the_closed_form(tmp_path: Path) -> None:
    done = invoke("-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fig1.csv", "fig1.json", "fig1.pdf", "fig1.png"]
    rows = list(csv.DictReader((tmp_path / "fig1.csv").read_text().splitlines()))
    assert len(rows) == 601
    for row in rows[::60]:
        theta = float(row["theta"])
        for eps in (0.6, 1.2):
            assert float(row[f"adversarial_{eps}"]) == float(one_dimensional.loss(theta, eps=eps))
            assert float(row[f"lower_{eps}"]) == float(one_dimensional.lower_envelope(theta, eps=eps))
    assert json.loads((tmp_path / "fig1.json").read_text())["inputs"] == []


def test_with_results_it_adds_the_phase_diagram_and_its_numbers(tmp_path: Path) -> None:
    files = [theory().save(tmp_path / "a.h5"), theory(box=True).save(tmp_path / "b.h5")]
    other = hessian().save(tmp_path / "h.h5")
    done = invoke(*files, other, "-o", tmp_path / "out.png")
    assert done.exit_code == 0, done.output
    assert f"left out {other}: no theory result" in done.output
    rows = list(csv.DictReader((tmp_path / "out-phases.csv").read_text().splitlines()))
    assert [(row["gamma_star"], row["eps_bar_bias"], row["box"]) for row in rows] == [
        ("0.1", "0.3", "False"),
        ("0.1", "0.3", "True"),
    ]
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["outputs"] == ["out.pdf", "out.png", "out.csv", "out-phases.csv"]
    assert [entry["class_pair"] for entry in made["inputs"]] == ["3,8", "3,8"]
    assert made["left_out"] == [str(other)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["h.h5"], 1, "none of the 1 files is a theory result; make one with: landscape theory --data digits"),
        (["none.h5"], 1, "none.h5 is not there"),
        (["-o", "fig1.h5"], 2, "ends in .h5; wanted .pdf or .png"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], code: int, said: str) -> None:
    hessian().save("h.h5")
    done = invoke(*arguments)
    assert (done.exit_code, done.output.count("\n")) == (code, 1)
    assert said in done.output
    assert not list(Path().glob("fig1.p*"))


def test_it_runs_in_a_checkout_without_torch(tmp_path: Path) -> None:
    file = theory().save(tmp_path / "a.h5")
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"
        f"sys.argv = ['fig1_theory.py', {str(file)!r}, '-o', {str(tmp_path / 'x.pdf')!r}]\n"
        f"runpy.run_path({str(ROOT / 'figures' / 'fig1_theory.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.png").is_file()
