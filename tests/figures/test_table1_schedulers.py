"""Table 1: rows by schedule, cells over seeds, and bold where a paired interval says so, and only there."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from landscape.figures.table1_schedulers import as_csv, as_latex, as_text, compare, gather

from landscape.errors import ResultError
from landscape.results import Result
from tests.results.made import hessian
from tests.results.made_evaluate import evaluation, schedules, sweep

ROOT = Path(__file__).resolve().parent.parent.parent
CLEAR = {"constant": (560, 562, 558), "linear": (540, 543, 537), "cosine": (530, 532, 527)}


def test_rows_cells_and_bold() -> None:
    table = gather(schedules(CLEAR))
    assert [row.label for row in table.rows] == ["constant", "linear", "cosine"]
    assert table.attacks == ("clean", "apgd-ce", "worst case")
    assert table.cell(0, 1) == "56.00(20)" and table.cell(2, 1) == "52.97(25)"
    assert table.bold.tolist() == [[False] * 3, [False] * 3, [False, True, True]]  # all clean errors are equal


def test_a_lower_mean_that_the_seeds_do_not_bear_out_is_not_bold() -> None:
    # Cosine is 3 points lower in the mean, and worse on one seed of three: its interval holds 0.
    table = gather(schedules({"constant": (560, 560, 560), "cosine": (480, 540, 570)}))
    assert not table.bold.any()
    assert compare(table.rows[0], table.rows[1], 1).sign == 0
    assert "+3.00 [" in as_text(table)


def test_single_runs_are_compared_over_examples() -> None:
    far, near = ({"constant": (560,), "linear": (other,)} for other in (500, 559))
    assert gather(schedules(far)).bold[1, 1]
    assert not gather(schedules(near)).bold.any()
    assert gather(schedules(far)).cell(0, 1) == "56.00"


def test_rows_without_a_shared_seed_are_not_told_apart() -> None:
    first, second = schedules({"linear": (500, 501)}), schedules({"constant": (600, 601, 602, 603)})[2:]
    table = gather([*first, *second])
    assert not table.bold.any() and "no seed shared" in as_text(table)


def test_last_and_best_are_rows_of_their_own() -> None:
    table = gather([*schedules(CLEAR), *schedules(CLEAR, best=True)])
    labels = [row.label for row in table.rows]
    assert labels == ["constant", "linear", "cosine", "constant, best", "linear, best", "cosine, best"]
    assert all(len(row.runs) == 3 for row in table.rows)


def test_snapshots_of_a_run_are_one_row_over_seeds_and_nets_of_several_runs_are_not() -> None:
    def ensemble(wrong: int, seeds: tuple[int, int, int]) -> Result:
        training = [
            {"eps": 0.1, "eps_schedule": "linear", "periods": [4, 6, 8], "seed": seed, "epoch": epoch, "final": {}}
            for seed, epoch in zip(seeds, (4, 6, 8), strict=True)
        ]
        name = " + ".join(f"net-{seed}" for seed in seeds)
        return evaluation([[9, wrong]], names=[name], training=training, attacks=("clean", "pgd20"), ensemble="softmax")

    table = gather([ensemble(30 + seed, (seed, seed, seed)) for seed in (0, 1)])
    assert [(row.label, list(row.runs)) for row in table.rows] == [("linear, 3 periods, ensemble of 3", [0, 1])]
    assert table.cell(0, 1) == "30.50(71)"
    assert gather([ensemble(30, (0, 1, 2))]).rows[0].label == "net-0 + net-1 + net-2"


def test_a_run_that_the_guard_has_spoken_of_is_of_its_recipe_still() -> None:
    table = gather(sweep({("constant", 0.01): (None, 120, None), ("linear", 0.01): (60, 62, 64)}))
    assert [(row.label, len(row.runs)) for row in table.rows] == [("constant", 3), ("linear", 3)]


def test_text_latex_and_csv_say_the_same() -> None:
    table = gather(schedules(CLEAR))
    assert "*52.97(25)*" in as_text(table) and "constant - linear" in as_text(table)
    assert r"\textbf{52.97(25)}" in as_latex(table) and as_latex(table).count(r"\textbf") == 2
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(rows) == 9 and {row["schedule"] for row in rows} == set(CLEAR)
    cosine = [float(row["apgd-ce"]) for row in rows if row["schedule"] == "cosine"]
    assert cosine == [0.53, 0.532, 0.527] and rows[-1]["bold apgd-ce"] == "1" and rows[0]["bold apgd-ce"] == "0"


def test_other_examples_other_attacks_and_twins_are_refused() -> None:
    results = schedules(CLEAR)
    with pytest.raises(ResultError, match="differ in eps"):
        gather([results[0], evaluation(eps=0.2)])
    shifted = evaluation([[1, 2]], attacks=("clean", "apgd-ce"), n=1000)
    shifted.arrays["indices"] = np.arange(1000) + 1
    with pytest.raises(ResultError, match="different examples"):
        gather([results[0], shifted])
    with pytest.raises(ResultError, match="is there twice: seed 0 of constant"):
        gather([results[0], results[0]])


def test_the_script_writes_all_four(tmp_path: Path) -> None:
    files = [result.save(tmp_path / f"{i}.h5") for i, result in enumerate(schedules(CLEAR))]
    other = hessian().save(tmp_path / "h.h5")
    script = ROOT / "figures" / "table1_schedulers.py"
    words = [sys.executable, str(script), *map(str, files), str(other), "-o", str(tmp_path / "t.txt")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stderr and all((tmp_path / f"t.{s}").is_file() for s in ("txt", "tex", "csv", "json"))
    failed = subprocess.run([*words[:2], str(other)], capture_output=True, text=True, check=False, timeout=120)
    assert failed.returncode == 1 and "landscape evaluate CKPT" in failed.stderr
