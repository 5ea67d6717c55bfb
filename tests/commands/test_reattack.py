"""`landscape hessian --adversary reattack`: what it keeps, says and draws, how it goes on, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.results import read_result
from landscape.results.kinks import census
from landscape.surfaces.kinks import Line
from tests.commands.runner import landscape

FEW = ("--top", "2", "--n-examples", "24", "--h", "0.01,0.02,0.05")
WORDS = ("hessian", "tiny.pt", *FEW, "--adversary", "reattack", "--along", "2")


def test_it_is_kept_told_found_again_drawn_and_compared(tiny: Path) -> None:
    done = landscape(*WORDS, "--out", "r.h5")
    assert done.code == 0, done.err
    result = read_result("r.h5")
    assert result.attrs["adversary"] == "reattacked"
    assert result.arrays["reattack/curvature"].shape == (2, 3, 24)
    assert result.arrays["reattack/direction"].tolist() == [1, 2]
    told = census(result)
    assert (told.excess >= -1e-6).all()
    rows = [line.split() for line in done.out.splitlines() if line.strip().startswith(("0.01 ", "0.02 ", "0.05 "))]
    assert [row[0] for row in rows] == ["0.01", "0.02", "0.05"] * 2
    assert rows[2][2] == f"{told.excess[2]:.4g}"
    again = landscape(*WORDS, "--out", "r.h5")
    assert again.code == 0 and again.out == done.out.replace("wrote", "found")
    assert landscape("plot", "r.h5").code == 0
    assert "reattack/verdict" in landscape("info", "r.h5").out


def test_the_held_difference_is_the_frozen_eigenvalue_and_the_rest_is_as_without(tiny: Path) -> None:
    """A small radius and a net that is nearly linear in its images: the attack does not move."""
    both = ("hessian", "tiny.pt", "--eps", "1/255", *FEW[:4])
    assert landscape(*both, "--out", "frozen.h5", "-q").code == 0
    assert landscape(*both, *FEW[4:], "--adversary", "reattack", "--out", "moving.h5", "-q").code == 0
    frozen, moving = read_result("frozen.h5"), read_result("moving.h5")
    for name, array in frozen.arrays.items():
        np.testing.assert_array_equal(moving.arrays[name], array, err_msg=name)
    assert census(moving).frozen[1] == pytest.approx(frozen.eigenvalues[0], rel=0.2)


def test_interrupted_between_directions_it_goes_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, calls = Line.measure, []

    def counted(self: Line, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return measure(self, *given)

    whole = landscape(*WORDS, "--out", "whole.h5", "-q")
    assert whole.code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Line, "measure", counted)
        done = landscape(*WORDS, "--out", "x.h5")
    assert (done.code, done.err) == (
        130,
        "interrupted; what is saved is in x.h5.partial, and the same command resumes it\n",
    )
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Line, "measure", lambda self, *given: calls.append(1) or measure(self, *given))
        assert landscape(*WORDS, "--out", "x.h5", "-q").code == 0
    assert len(calls) < 2
    assert not Path("x.h5.partial").exists()
    a, b = read_result("x.h5"), read_result("whole.h5")
    for name, array in b.arrays.items():
        np.testing.assert_array_equal(a.arrays[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--adversary", "reattack", "--eps", "0"), "at eps 0 has no adversary to attack anew; give --eps"),
        (("--along", "2"), "--along is for an adversary that attacks anew; give --adversary reattack"),
        (("--h", "0.1,0.2,0.3"), "--h is for an adversary that attacks anew; give --adversary reattack"),
        (("--adversary", "reattack", "--along", "3"), "--along 3 is more than the 2 eigenpairs of --top"),
        (("--adversary", "reattack", "--h", "0.1,0.2"), "h = 0.1, 0.2; wanted 3 different steps or more"),
        (("--adversary", "reattack", "--h", "0.1,0.1,0.2"), "h = 0.1, 0.1, 0.2; wanted 3 different steps or more"),
        (("--adversary", "reattack", "--h", "1e-9,0.1,0.2"), "wanted lengths from 1e-06 up: a difference over less"),
        (("--adversary", "reattack", "--h", "0.1,-1"), "are no positive numbers; write 0.01,0.02,0.05"),
        (("--adversary", "other"), "'other' is not one of 'frozen', 'reattack'"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(tiny: Path, words: tuple[str, ...], says: str) -> None:
    done = landscape("hessian", tiny, "--top", "2", "--n-examples", "16", *words)
    assert done.code == 2 and says in done.err
    assert not list(Path().glob("results/*"))
