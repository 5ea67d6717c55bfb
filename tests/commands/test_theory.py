"""`landscape theory`: its table, its file found again, and words for every mistake."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import landscape.theory.separation as separation
from landscape.results import read_result
from tests.commands.runner import contents, landscape

SMALL = ("theory", "--data", "digits", "--classes", "3,8", "--eps", "0.03,0.2,0.32")


def test_it_measures_tells_and_finds_its_file_again() -> None:
    done = landscape(*SMALL)
    assert (done.code, done.err) == (0, "")
    (path,) = Path("results").iterdir()
    assert path.name.startswith("digits-3-8.theory-")
    result = read_result(path)
    for said in (
        "digits train: 146 of class 3 + 141 of class 8",
        f"gamma*            {result.gamma_star:.5f}",
        f"eps_bar           {result.eps_bar_bias:.5f}",
        "separable",
        "finite",
        "constant",
        f"wrote {path}",
        f"next: landscape plot {path}",
    ):
        assert said in done.out
    before = contents(Path())
    again = landscape("theory", "--data", "digits", "--classes", "8,3", "--eps", "0.32,0.2,0.03")
    assert again.code == 0
    assert again.out == done.out.replace("wrote", "found")
    assert contents(Path()) == before
    assert result.command.startswith("landscape") or result.command
    assert landscape("plot", path).code == 0
    assert "regimes and adversarial optima" in landscape("info", path).out


def test_the_box_is_another_result_and_says_so() -> None:
    assert landscape(*SMALL, "-q").out == ""
    done = landscape(*SMALL, "--box")
    assert done.code == 0
    assert "attacked images clipped to [0, 1]" in done.out
    assert "not computed" not in done.out
    assert len(list(Path("results").iterdir())) == 2


def test_another_result_under_the_same_name_is_kept() -> None:
    assert landscape(*SMALL, "--out", "t.h5", "-q").code == 0
    before = Path("t.h5").read_bytes()
    done = landscape(*SMALL, "--seed", "1", "--out", "t.h5")
    assert done.code == 1
    assert "t.h5 holds a result of other settings (seed 0 there, 1 asked); give --overwrite" in done.err
    assert Path("t.h5").read_bytes() == before
    assert landscape(*SMALL, "--seed", "1", "--out", "t.h5", "--overwrite", "-q").code == 0


def test_data_without_a_separator_are_said_to_be_so() -> None:
    images = np.zeros((6, 2, 2), np.float32)
    images[:, 0, 0] = [0.2, 0.6, 0.4, 0.3, 0.7, 0.5]
    np.savez("crossed.npz", images=images, labels=[0, 0, 0, 1, 1, 1])
    done = landscape("theory", "--data", "crossed.npz", "--classes", "0,1")
    assert done.code == 0
    assert "no robust classifier exists at any eps" in done.out
    assert "caution: no line separates the two classes" in done.out


def test_an_optimum_that_falls_short_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    import landscape.theory.phases as phases

    exact = phases.robust_optimum
    monkeypatch.setattr(phases, "robust_optimum", lambda *args, **kwargs: exact(*args, **kwargs, max_steps=2))
    done = landscape(*SMALL)
    assert done.code == 3
    assert "caution: an optimum was found to" in done.out
    (path,) = Path("results").iterdir()
    assert read_result(path).status == "not-converged"


def test_an_interruption_writes_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import landscape.theory.phases as phases

    exact = phases.robust_optimum

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return exact(*args, **kwargs)

    monkeypatch.setattr(phases, "robust_optimum", interrupted)
    done = landscape(*SMALL)
    assert done.code == 130
    assert "interrupted; nothing was written, and the same command begins again" in done.err
    assert not list(Path("results").glob("*"))


def test_a_programme_without_a_solution_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(status=4, x=None, message="numerical difficulties")
    monkeypatch.setattr(separation, "linprog", lambda *args, **kwargs: failed)
    done = landscape(*SMALL)
    assert done.code == 1
    assert "ended without a solution (numerical difficulties); give fewer --n-examples" in done.err
    assert not list(Path("results").glob("*.h5"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--classes", "3,8"], 2, "--data is missing; such as: landscape theory --data digits --classes 3,8"),
        (["--data", "digits"], 2, "Missing option '--classes'"),
        (["--data", "digits", "--classes", "3"], 2, "--classes 3 is no pair of labels; give two whole numbers"),
        (["--data", "digits", "--classes", "3,8,9"], 2, "--classes 3,8,9 is no pair of labels"),
        (["--data", "digits", "--classes", "3,x"], 2, "--classes 3,x is no pair of labels"),
        (["--data", "digits", "--classes", "3,3"], 2, "--classes 3,3 names one class"),
        (["--data", "digits", "--classes", "3,11"], 2, "class 11 has no example in digits, train split"),
        (["--data", "digits", "--classes", "3,8", "--eps", "4"], 2, "did you mean 4/255?"),
        (["--data", "digits", "--classes", "3,8", "--eps", "1.5"], 2, "eps = 1.5 is outside [0, 1]"),
        (["--data", "digits", "--classes", "3,8", "--eps", "0.1,"], 2, "eps = '' is no number"),
        (["--data", "digits", "--classes", "3,8", "--n-examples", "999"], 2, "classes 3 and 8 has 287"),
        (["--data", "one.npz", "--classes", "0,1"], 1, "one.npz has one class only (1); give --data with two or more"),
        (["--data", "zero.npz", "--classes", "0,1"], 1, "the images of zero.npz, classes 0 and 1 have the same mean"),
        (["--data", "none.npz", "--classes", "0,1"], 1, "none.npz is not there"),
    ],
)
def test_mistakes_are_one_sentence(words: list[str], code: int, said: str) -> None:
    np.savez("one.npz", images=np.zeros((4, 2, 2), np.uint8), labels=[1, 1, 1, 1])
    np.savez("zero.npz", images=np.zeros((4, 2, 2), np.uint8), labels=[0, 0, 1, 1])
    done = landscape("theory", *words)
    assert done.code == code
    assert said in done.err
    assert done.out == ""
    assert done.err.strip().splitlines()[-1].startswith("Error: ")
    assert not Path("results").exists() or not list(Path("results").iterdir())
