"""`landscape evaluate`, as a person types it: the table, the same file again, an end in the middle, and wrong usage."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from landscape.results import read_result
from tests.commands.runner import landscape

QUICK = ("--attacks", "clean,pgd5,apgd-ce:steps=5", "--n-examples", "60", "--no-adequacy")


def test_one_net_has_a_table_an_interval_and_the_next_command(trained: Path) -> None:
    done = landscape("evaluate", trained, "--attacks", "clean,pgd5", "--n-examples", "12", "--out", "e.h5")
    assert done.code == 0, done.err
    assert "linf eps 0.02, 12 of 360 test examples of digits" in done.out
    assert "worst case" in done.out and "95 % over examples (Wilson): clean" in done.out
    assert "adequate: " in done.out or "suspect: " in done.out
    assert done.out.rstrip().endswith("next: landscape plot e.h5")
    result = read_result("e.h5")
    assert result.correct.shape == (1, 2, 12) and result.split == "test" and result.train_eps == 0.02
    assert landscape("plot", "e.h5").code == 0 and Path("e.png").is_file()
    assert "evaluate: clean and robust error of nets" in landscape("info", "e.h5").out


def test_the_whole_test_split_is_the_default_and_a_repetition_finds_its_file(trained: Path) -> None:
    words = ("evaluate", trained, "--attacks", "clean", "--eps", "0")
    first, again = landscape(*words), landscape(*words)
    assert first.code == again.code == 0 and "error in % of 360 examples" in first.out
    (path,) = Path("results").glob("tiny.evaluate-*.h5")
    assert f"wrote {path}" in first.out and f"found {path}" in again.out
    assert first.out.replace("wrote", "found") == again.out


def test_two_nets_are_compared_on_the_same_examples(trained: Path) -> None:
    done = landscape("evaluate", trained, "digits/eps0.1", "--eps", "0.05", *QUICK, "--out", "two.h5")
    assert done.code == 0, done.err
    assert "first minus second, in points of error, on the same examples" in done.out
    assert "McNemar p" in done.out and ("second is better" in done.out or "too small to tell" in done.out)
    result = read_result("two.h5")
    assert result.checkpoints.tolist()[1] == "digits/eps0.1" and len(result.training) == 2


def test_an_ensemble_is_one_net(trained: Path) -> None:
    done = landscape("evaluate", trained, "digits/eps0.1", "--eps", "0.05", "--ensemble", *QUICK, "--out", "x.h5")
    assert done.code == 0, done.err
    assert "one ensemble by mean softmax" in done.out
    assert read_result("x.h5").correct.shape == (1, 3, 60)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_what_is_ended_goes_on_to_the_same_result(end: signal.Signals) -> None:
    words = ["evaluate", "digits/eps0.1", "--eps", "0.1", "--n-examples", "24", "--batch-size", "3", "--no-adequacy"]
    words += ["--attacks", "clean,pgd20,apgd-ce:steps=20,square:queries=80"]
    # A crash costs what was done since the last writing: here at every batch.
    code = "import sys, landscape.commands.partial as p; p.SECONDS_BETWEEN_WRITES, p._SHARE = 0, 0; "
    code += "from landscape.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *words]
    running = subprocess.Popen(
        [*command, "--out", "cut.h5"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    partial = Path("cut.h5.partial")
    for _ in range(600):
        if partial.exists() or running.poll() is not None:
            break
        time.sleep(0.05)
    running.send_signal(end)
    assert running.wait(60) == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert partial.exists() and not Path("cut.h5").exists()
    assert running.stderr is not None
    if end == signal.SIGINT:
        assert "the same command resumes it" in running.stderr.read()
    running.stderr.close()
    assert landscape(*words, "--out", "cut.h5").code == 0
    assert landscape(*words, "--out", "whole.h5").code == 0
    assert not partial.exists()
    with h5py.File("cut.h5") as cut, h5py.File("whole.h5") as whole:
        for name in whole:
            assert np.array_equal(cut[name][()], whole[name][()]), name
        ours = {key for key in whole.attrs if key not in ("created", "wall_seconds", "command")}
        assert all(str(cut.attrs[key]) == str(whole.attrs[key]) for key in ours)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("digits/eps0.1", "--attacks", "clean,apgd-cf"), 2, "attack 'apgd-cf' is unknown; did you mean apgd-ce"),
        (("digits/eps0",), 2, "eps = 0 leaves nothing to attack; give --eps"),
        (("digits/eps0.1", "--eps", "8"), 2, "did you mean 8/255"),
        (("digits/eps0.1", "digits/eps0.05"), 2, "trained at different radii (linf 0.1, linf 0.05); give one --eps"),
        (("digits/eps0.1", "--n-examples", "361"), 2, "has 360 in its test split"),
        (("digits/eps0.1", "nowhere.pt", "--eps", "0.1"), 1, "nowhere.pt"),
        (("digits/eps0.1", "--preset", "papers"), 2, "papers"),
        ((), 2, "Missing argument 'CKPT...'"),
    ],
)
def test_wrong_usage_is_one_sentence(words: tuple[str, ...], code: int, said: str) -> None:
    done = landscape("evaluate", *words)
    assert done.code == code and said in done.err and "Traceback" not in done.err


def test_help_has_an_example() -> None:
    done = landscape("evaluate", "--help")
    assert "Example: landscape evaluate digits/eps0.1" in done.out and "--preset" in done.out
