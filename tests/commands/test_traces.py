"""`landscape traces` as it is typed: the order of a run, several radii, what is interrupted, repeated, or cannot be."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses import traces as analysis

from landscape.commands import partial
from landscape.results import read_result
from tests.commands.runner import SMALL, contents, landscape
from tests.commands.test_interruption import assert_equal_but_for_time, send

WORDS = ("traces", "run.pt", "run-epoch1.pt", "run-epoch0.pt", "--eps", "0,0.05", "--n-examples", "32")
WAYS = ("--out", "x.h5")

DRIVER = """
import os, signal
from landscape.analyses import traces
from landscape.cli import main
from landscape.commands import partial

partial.SECONDS_BETWEEN_WRITES = partial._SHARE = 0
measure = traces.measure_row

def measuring(*args, **kwargs):
    if os.path.exists("x.h5.partial") and measuring.calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    measuring.calls += 1
    return measure(*args, **kwargs)

measuring.calls = 0
traces.measure_row = measuring
main(prog_name="landscape")
"""


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs with all its checkpoints; read it, and leave it as it is."""
    folder = tmp_path_factory.mktemp("run")
    settings = "--data digits --model lenet:width=1 --eps 0.02 --epochs 2 --lr 0.01 --batch-size 128 --save-epochs 1"
    done = landscape("train", *settings.split(), "--trace-every", "0", "--out", folder / "run.pt")
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def whole(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What WORDS measure, in one go."""
    path = tmp_path_factory.mktemp("whole") / "x.h5"
    done = landscape("traces", *(trained_run / word if word.endswith(".pt") else word for word in WORDS[1:]),
                     "--out", path)  # fmt: skip
    assert done.code == 0, done.err
    return path


@pytest.fixture
def run(trained_run: Path) -> None:
    """The run's checkpoints in the test's own folder."""
    for path in trained_run.glob("*.pt"):
        shutil.copy(path, path.name)


def at_row(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None] = lambda: None) -> list[int]:
    """Act in the midst of a row's measurement; return the list of the rows that are measured from here on."""
    measure, rows = analysis.measure_row, []

    def measuring(*args: Any, **kwargs: Any) -> list[float]:
        rows.append(len(rows))
        if len(rows) == number:
            act()
        return measure(*args, **kwargs)

    monkeypatch.setattr(analysis, "measure_row", measuring)
    return rows


def told(text: str, *, start: str) -> list[list[str]]:
    """Return the words of the rows of a printed table."""
    return [line.split() for line in text.splitlines() if re.match(rf"\s*{start}", line)]


def test_checkpoints_are_put_in_the_order_of_the_run_whatever_was_typed(whole: Path) -> None:
    result = read_result(whole)
    per_epoch = -(-1437 // 128)
    np.testing.assert_array_equal(result.step, np.repeat([0, per_epoch, 2 * per_epoch], 2))
    np.testing.assert_array_equal(result.epoch, [0, 0, 1, 1, 2, 2])
    names = result.attrs["checkpoint"]
    assert names == ["run-epoch0", "run-epoch1", "run"]
    np.testing.assert_array_equal(result.learning_rate, [0.01] * 4 + [np.nan] * 2)  # after the end none is taken
    assert (result.distance_from_init[:2] == 0).all() and (np.diff(result.distance_from_init[::2]) > 0).all()


def test_radii_are_rows_at_equal_weights_in_growing_order(whole: Path, run: None) -> None:
    result = read_result(whole)
    np.testing.assert_array_equal(result.eps, [0, 0.05] * 3)
    assert (result.distance_from_init[::2] == result.distance_from_init[1::2]).all()
    assert (result.loss[1::2] > result.loss[::2]).all()
    alone = landscape("traces", "run.pt", "--eps", "0.05", "--n-examples", "32", "--out", "alone.h5")
    assert alone.code == 0
    for name in ("loss", "error_rate", "gradient_norm", "gradient_norm_se", "gradient_norm_sq_unbiased"):
        assert read_result("alone.h5").arrays[name][0] == result.arrays[name][5], name


def test_the_last_row_says_what_the_hessian_command_says_of_that_net(tiny: Path, measured: Path) -> None:
    """Without --eps it is the radius of training; the Hessian's loss and gradient come from a product's way."""
    assert landscape("traces", tiny, *SMALL[2:], "--out", "x.h5").code == 0
    (loss,), (norm,) = read_result("x.h5").loss, read_result("x.h5").gradient_norm
    attrs = read_result(measured).attrs
    assert read_result("x.h5").eps.tolist() == [0.02]
    assert (loss, norm) == pytest.approx((attrs["loss"], attrs["gradient_norm"]), rel=1e-5)  # float32 sums


def test_it_prints_a_row_for_each_and_the_same_when_it_is_repeated(
    whole: Path, run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = landscape(*WORDS)
    assert first.code == 0
    rows = told(first.out, start=r"\d+ +\d +0")
    steps = enumerate(("0", "12", "24"))
    assert [row[:3] for row in rows] == [[step, str(epoch), eps] for epoch, step in steps for eps in ("0", "0.05")]
    (path,) = Path("results").glob("*.traces-*.h5")
    before = path.read_bytes()
    measured = at_row(monkeypatch, 0)
    again = landscape(*WORDS)
    assert (again.code, measured) == (0, [])
    assert again.out == first.out.replace(f"wrote {path}", f"found {path}")
    assert path.read_bytes() == before
    assert_equal_but_for_time(path, whole)
    other = landscape(*WORDS, "--seed", "1")  # another file: no two settings share one
    assert other.code == 0 and len(list(Path("results").iterdir())) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_goes_on_with_the_row_it_was_at(
    number: int, whole: Path, run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_row(patch, 4, send(number))
        done = landscape(*WORDS, *WAYS)
    assert (done.code, done.err) == (
        130, "interrupted; what is saved is in x.h5.partial, and the same command resumes it\n",
    )  # fmt: skip
    assert not Path("x.h5").exists()
    rows = at_row(monkeypatch, 0)
    assert landscape(*WORDS, *WAYS).code == 0
    assert len(rows) == 2  # of six
    assert_equal_but_for_time("x.h5", whole)
    assert not Path("x.h5.partial").exists()


def test_a_second_interruption_loses_the_row_in_hand_alone(
    whole: Path, run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(partial, "SECONDS_BETWEEN_WRITES", 0.0)
        patch.setattr(partial, "_SHARE", 0)
        at_row(patch, 4, send(signal.SIGINT, signal.SIGINT))
        done = landscape(*WORDS, *WAYS)
    assert done.code == 130 and done.err.startswith("interrupted at once; what is saved is in x.h5.partial")
    rows = at_row(monkeypatch, 0)
    assert landscape(*WORDS, *WAYS).code == 0
    assert len(rows) == 3
    assert_equal_but_for_time("x.h5", whole)


def test_a_killed_run_goes_on_from_its_last_row(whole: Path, run: None, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.run([sys.executable, "-c", DRIVER, *WORDS, *WAYS], check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert not Path("x.h5").exists()
    rows = at_row(monkeypatch, 0)
    assert landscape(*WORDS, *WAYS).code == 0
    assert len(rows) == 3
    assert_equal_but_for_time("x.h5", whole)


def test_an_unfinished_run_of_other_radii_is_kept(run: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_row(patch, 2, send(signal.SIGINT))
        landscape(*WORDS, *WAYS)
    before = contents(Path())
    done = landscape("traces", "run.pt", "--eps", "0.1", "--n-examples", "32", *WAYS)
    assert done.code == 1 and done.err.startswith("Error: x.h5.partial belongs to other settings (")
    assert contents(Path()) == before


def edited(name: str, **changes: Any) -> None:
    """Write run.pt under another name with other entries; None takes one away; training__X is one of training's."""
    state = torch.load("run.pt", weights_only=True)
    for key, value in changes.items():
        place, _, inner = key.rpartition("__")
        entry = state[place] if place else state
        entry.pop(inner) if value is None else entry.update({inner: value})
    torch.save(state, name)


@pytest.fixture
def others(run: None) -> None:
    """Checkpoints that do not belong to the run, and files that are none."""
    rng = np.random.default_rng(0)
    np.savez("mine.npz", images=rng.random((20, 8, 8), dtype=np.float32), labels=np.arange(20) % 10)
    edited("other-data.pt", data="mine.npz")
    edited("other-seed.pt", training__seed=1)
    edited("no-eps.pt", training__eps=None)
    edited("no-data.pt", data=None)
    Path("page.pt").write_text("<html>")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("run.pt digits/eps0.1", 2, "run.pt is lenet:width=1,input=1x8x8,classes=10 on digits, and digits/eps0.1 is"),
        ("run.pt other-data.pt", 2, "on digits, and other-data.pt is lenet:width=1,input=1x8x8,classes=10 on mine.npz"),
        ("run-epoch0.pt other-seed.pt", 2, "with seed 0, and other-seed.pt with seed 1; give the checkpoints of one"),
        ("no-eps.pt", 2, "no-eps does not say at which eps it was trained; give --eps, such as --eps 8/255"),
        ("no-data.pt --eps 0", 2, "no-data.pt does not say which data it was trained on; give --data"),
        ("run.pt gone.pt", 1, "gone.pt is neither a file nor a shipped net"),
        ("run.pt page.pt", 1, "page.pt is a web page"),
        ("run.pt --eps 0,4", 2, "did you mean 4/255?"),
        ("run.pt --eps 0,0.1,0.1", 2, "a radius came twice among 0, 0.1, 0.1; give each once"),
        ("run.pt --eps 0,,0.1", 2, "a radius is empty between commas; write 0,2/255,4/255"),
        ("run.pt --n-examples 9999", 2, "n-examples = 9999 cannot be met: digits has 1437"),
        ("run.pt --attack fgsm", 2, "attack 'fgsm' is unknown"),
        ("run.pt --out page.pt", 1, "page.pt is no HDF5 file"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_one_sentence_and_touches_nothing(
    words: str, code: int, said: str, others: None
) -> None:
    before = contents(Path())
    done = landscape("traces", *words.split())
    assert done.code == code, done.err
    assert said in done.err and done.err.startswith("Error: ") and done.err.count("\n") == 1
    assert contents(Path()) == before
