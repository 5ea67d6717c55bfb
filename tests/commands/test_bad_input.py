"""What cannot be meant, read or written: one sentence, the right exit code, every existing file as it was."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from landscape import files
from landscape.results import kinds
from tests.commands.runner import SMALL, contents, landscape
from tests.results.made import hessian as made_result

NETS = """
import torch
from torch import nn

class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.flatten(1)) * float("nan")

def net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def broken(): return Broken()
def no_parameters(): return nn.Flatten()
def images(): return nn.Sequential(nn.Conv2d(1, 10, 3))
def raises(): raise RuntimeError("no such file: weights.bin")
not_callable = 3
"""


class Harm:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, ("harmed",)


@pytest.fixture
def zoo(tiny: Path, measured: Path) -> None:
    """Every file that the table below names, in the test's own folder."""
    whole = tiny.read_bytes()
    Path("empty.pt").touch()
    Path("truncated.pt").write_bytes(whole[: len(whole) // 2])
    Path("page.pt").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    Path("code.pt").write_bytes(pickle.dumps(Harm()))
    with zipfile.ZipFile("script.pt", "w") as archive:
        for name, content in {"data.pkl": b"\x80\x02N.", "constants.pkl": b"\x80\x02).", "code/net.py": b"op"}.items():
            archive.writestr(f"net/{name}", content)
    Path("folder.pt").mkdir()
    Path("afile").write_text("a file")
    Path("nets.py").write_text(NETS)
    weights = torch.load(tiny, weights_only=True)
    first = next(iter(weights["state_dict"]))
    weights["state_dict"][first].view(-1)[0] = torch.nan
    torch.save(weights, "nan.pt")
    with torch.random.fork_rng():
        scope: dict[str, Any] = {"__name__": "nets"}
        exec(NETS, scope)
        for name in ("net", "broken", "images"):
            torch.save(scope[name]().state_dict(), f"{name}.pt")
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 8, 8), dtype=np.float32), np.arange(20) % 10
    np.savez("bright.npz", images=255 * images, labels=labels)
    np.savez("classes.npz", images=images, labels=np.arange(20) % 12)
    np.savez("negative.npz", images=images, labels=labels - 1)
    np.savez("wide.npz", images=np.zeros((20, 9, 9), dtype=np.float32), labels=labels)
    np.savez("good.npz", images=images, labels=labels)
    Path("page.h5").write_text("<html>")
    Path("empty.h5").touch()
    Path("truncated.h5").write_bytes(measured.read_bytes()[:3000])
    shutil.copy(measured, "other.h5")
    Path("notes.txt").write_text("my notes")


class Bad(NamedTuple):
    words: str
    code: int
    said: str


USER = "--data good.npz --eps 0.1"

TABLE = [
    # checkpoints
    Bad("hessian missing.pt", 1, "missing.pt is neither a file nor a shipped net; of the shipped nets, there are"),
    Bad("hessian digits/eps01", 1, "did you mean digits/eps0"),
    Bad("hessian folder.pt", 1, "folder.pt is a folder; name a checkpoint file in it"),
    Bad("hessian empty.pt", 1, "empty.pt is empty"),
    Bad("hessian truncated.pt", 1, "truncated.pt is"),
    Bad("hessian page.pt", 1, "page.pt is a web page"),
    Bad("hessian code.pt", 1, "code.pt"),
    Bad("hessian script.pt", 1, "script.pt is a TorchScript archive, which holds code"),
    Bad("hessian other.h5", 1, "other.h5 is an HDF5 file"),
    Bad("hessian nan.pt", 1, "nan.pt"),
    Bad("hessian tiny.pt --model mlp", 1, "missing ("),
    Bad("hessian tiny.pt --model mlp", 1, "unexpected ("),
    Bad("hessian tiny.pt --model lenet:width=2", 1, "mis-shaped ("),
    Bad("hessian net.pt --data digits --eps 0", 2, "net.pt holds weights alone; name their net, such as --model"),
    Bad("hessian net.pt --model nets.py:net --eps 0", 2, "net.pt does not say which data it was trained on"),
    Bad("hessian net.pt --model nets.py:net --data digits", 2, "net does not say at which eps it was trained"),
    # nets
    Bad("hessian tiny.pt --model lenett", 2, "'lenett' is no net; did you mean lenet"),
    Bad("hessian tiny.pt --model lenet:widht=2", 2, "did you mean width?"),
    Bad("hessian tiny.pt --model nets.py:nett", 2, "did you mean net?"),
    Bad("hessian tiny.pt --model gone.py:net", 2, "gone.py is not there"),
    Bad("hessian tiny.pt --model nets.py:raises", 2, "nets.py:raises failed when called"),
    Bad("hessian tiny.pt --model nets.py:not_callable", 2, "nets.py has no callable 'not_callable'"),
    Bad(f"hessian broken.pt --model nets.py:broken {USER}", 1, "the loss is not finite on 20 of 20 examples"),
    Bad(f"hessian images.pt --model nets.py:images {USER}", 2, "nets.py:images gives (1, 10, 6, 6) for one image"),
    # data
    Bad("hessian tiny.pt --data digts", 2, "did you mean digits?"),
    Bad("hessian tiny.pt --data gone.npz", 1, "gone.npz is not there"),
    Bad("hessian tiny.pt --data bright.npz", 1, "wanted uint8 in 0..255 or floats in [0, 1]; divide by 255"),
    Bad("hessian tiny.pt --data negative.npz", 1, "run from -1 to 8, wanted classes numbered from 0"),
    Bad("hessian tiny.pt --data classes.npz", 2, "tiny.pt is a net for 1x8x8 images in 10 classes, and classes.npz"),
    Bad("hessian tiny.pt --data wide.npz", 2, "and wide.npz has 1x9x9 images in 10 classes; give the --data"),
    Bad("hessian net.pt --model nets.py:net --data classes.npz --eps 0", 2, "gives (1, 10) for one image"),
    Bad("hessian net.pt --model nets.py:net --data wide.npz --eps 0", 2, "fails on the 1x9x9 images in 10 classes"),
    Bad("hessian tiny.pt --data good.npz --split test", 2, "good.npz has no test_images"),
    Bad("hessian tiny.pt --n-examples 9999", 2, "n-examples = 9999 cannot be met: digits has 1437"),
    Bad("hessian tiny.pt --n-examples 0", 2, "write 1 or more, or all"),
    Bad("hessian tiny.pt --n-examples many", 2, "write 1 or more, or all"),
    # budgets and attacks
    Bad("hessian tiny.pt --eps 4", 2, "eps = 4 is in unclear units; did you mean 4/255?"),
    Bad("hessian tiny.pt --eps=-1", 2, "eps = -1 is no radius"),
    Bad("hessian tiny.pt --eps 4/0", 2, "eps = '4/0' divides by zero"),
    Bad("hessian tiny.pt --eps 1.5", 2, "eps = 1.5 is outside [0, 1]"),
    Bad("hessian tiny.pt --eps nan", 2, "eps = 'nan' is no number"),
    Bad("hessian tiny.pt --norm l3", 2, "'l3' is not one of 'linf', 'l2'"),
    Bad("hessian tiny.pt --attack fgsm", 2, "attack 'fgsm' is unknown"),
    Bad("hessian tiny.pt --attack pgd:stpes=3", 2, "did you mean steps"),
    Bad("hessian tiny.pt --attack pgd:steps=0", 2, "steps = 0 in the attack; wanted 1 or more"),
    # the solver
    Bad("hessian tiny.pt --top 0", 2, "0 is not in the range x>=1"),
    Bad("hessian tiny.pt --top 99999 --n-examples 8", 2, "give --top 1 to"),
    Bad("hessian tiny.pt --tol 0", 2, "--tol 0 can never be reached; give a positive number"),
    Bad("hessian tiny.pt --tol=-1", 2, "--tol -1 can never be reached"),
    Bad("hessian tiny.pt --tol nan", 2, "--tol nan can never be reached"),
    Bad("hessian tiny.pt --tol inf", 2, "--tol inf"),
    Bad("hessian tiny.pt --max-products 3", 2, "--max-products 3 is too few for --top 20"),
    Bad("hessian tiny.pt --method power --max-products 30", 2, "--max-products means nothing to the power method"),
    Bad("hessian tiny.pt --method power --which la", 2, "the power method finds by magnitude"),
    Bad("hessian tiny.pt --batch-size 0", 2, "0 is not in the range x>=1"),
    # devices
    Bad("hessian tiny.pt --device cuda", 1, "--device cuda is not there: torch sees 0 CUDA devices; type --device cpu"),
    Bad("hessian tiny.pt --device cuda:7", 1, "--device cuda:7 is not there"),
    Bad("hessian tiny.pt --device cuda:x", 2, "--device cuda:x is unknown; write auto, cpu, cuda or cuda:1"),
    Bad("hessian tiny.pt --device tpu", 2, "--device tpu is unknown"),
    Bad("train --data digits --model mlp --eps 0 --out t.pt --device cuda", 1, "--device cuda is not there"),
    # outputs
    Bad("hessian tiny.pt --seed 1 --out other.h5", 1, "other.h5 holds a result of other settings ("),
    Bad("hessian tiny.pt --out notes.txt", 1, "notes.txt is no HDF5 file (it begins with b'my notes')"),
    Bad("hessian tiny.pt --out folder.pt", 1, "folder.pt is a folder"),
    Bad("hessian tiny.pt --out afile/x.h5", 1, "afile/x.h5 cannot be written: its folder is a file; name another"),
    Bad("hessian tiny.pt --out afile/deep/x.h5", 1, "cannot be written: its folder is a file; name another place"),
    Bad("hessian tiny.pt tiny.pt --out x.h5", 2, "--out names one file, and 2 checkpoints came"),
    Bad("demo --out afile", 1, "cannot be written: its folder is a file"),
    # other commands
    Bad("plot missing.h5", 1, "missing.h5 is not there"),
    Bad("plot tiny.pt", 1, "tiny.pt is no HDF5 file"),
    Bad("plot other.h5 page.h5", 1, "page.h5 is no HDF5 file"),
    Bad("plot empty.h5", 1, "empty.h5 is empty"),
    Bad("plot truncated.h5", 1, "truncated.h5 is truncated"),
    Bad("plot folder.pt", 1, "folder.pt is a folder"),
    Bad("plot", 2, "Missing argument 'FILE.h5...'"),
    Bad("info", 2, "Missing argument 'FILE'"),
    Bad("info missing.h5", 1, "missing.h5 is not there"),
    Bad("info missing.h5.partial", 1, "missing.h5.partial is not there"),
    Bad("info missing.pt", 1, "missing.pt is neither a file nor a shipped net"),
    Bad("info page.h5", 1, "page.h5 is no HDF5 file"),
    Bad("info truncated.h5", 1, "truncated.h5 is truncated"),
    Bad("info page.pt", 1, "page.pt is a web page"),
    Bad("info code.pt", 1, "code.pt"),
    Bad("info nan.pt", 1, "nan.pt"),
    Bad("train --data digits --model mlp --eps 8 --out t.pt", 2, "eps = 8 is in unclear units; did you mean 8/255?"),
    Bad("train --data digits --model mlp --eps 0 --out tiny.pt", 1, "tiny.pt exists and is kept; give --overwrite"),
    Bad("train --data digits --model mlp --eps 0 --out t.txt", 2, "t.txt is no name for a checkpoint"),
    Bad("train --data digits --model mlpp --eps 0 --out t.pt", 2, "did you mean mlp?"),
    Bad("train --data digits --model mlp --eps 0 --lr nan --out t.pt", 2, "lr = nan is out of range"),
    Bad("train --data digits --model mlp --eps 0 --save-epochs 1,x --out t.pt", 2, "is no list of epochs; write 5,10"),
    Bad("train --data digits --model mlp --eps 0 --epochs 2 --save-epochs 5 --out t.pt", 2, "epoch 5 cannot be saved"),
    Bad("train --data digits --model mlp --eps 0 --out afile/t.pt", 1, "its folder is a file"),
]


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.words)
def test_bad_input_is_one_sentence_and_touches_nothing(bad: Bad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = contents(Path())
    done = landscape(*bad.words.split())
    assert done.code == bad.code, done.err
    assert bad.said in done.err
    assert_one_sentence(done.err)
    assert contents(Path()) == before
    assert not Path("harmed").exists()


def assert_one_sentence(err: str) -> None:
    """One line that begins with Error:, under click's two lines of usage where click itself refused."""
    *usage, said = err.splitlines()
    assert said.startswith("Error: ")
    assert "Traceback" not in err
    assert [line for line in usage if not line.startswith(("Usage: ", "Try 'landscape ")) and line] == []


def test_results_of_several_kinds_are_not_drawn_together(monkeypatch: pytest.MonkeyPatch, measured: Path) -> None:
    monkeypatch.setitem(kinds.KINDS, "other", kinds.KINDS["hessian"])
    other = made_result()
    object.__setattr__(other, "kind", "other")
    other.save("other.h5")
    done = landscape("plot", measured, "other.h5", "--out", "x")
    assert (done.code, done.out) == (2, "")
    assert "one figure shows results of one kind; got hessian, other" in done.err
    assert set(contents(Path())) == {Path("other.h5")}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "the file system is read-only; name another place with --out"),
        (errno.EACCES, "permission denied; name a place that you may write with --out"),
    ],
)
def test_a_folder_that_cannot_be_written_is_found_before_the_hours(
    number: int, said: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **settings: Any) -> None:
        raise OSError(number, os.strerror(number))

    def compute(*args: Any, **settings: Any) -> None:
        pytest.fail("it began to compute")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr("landscape.commands.measurement.hessian", compute)
    done = landscape("hessian", tiny, *SMALL, "--out", "x.h5")
    assert (done.code, done.err) == (1, f"Error: x.h5 cannot be written: {said}\n")
    assert set(contents(Path())) == {Path("tiny.pt")}


def test_a_disk_that_is_full_in_the_end_leaves_nothing_half_written(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = Path(shutil.copy(measured, "x.h5"))
    before = contents(Path())
    monkeypatch.setattr(files.os, "fsync", full)
    words = ("hessian", tiny, *SMALL, "--seed", "1", "--out", out, "--overwrite")
    done = landscape(*words)
    assert (done.code, done.err) == (
        1,
        "Error: x.h5 cannot be written: the disk is full; free some space, or name another place with --out\n",
    )
    assert contents(Path()) == before


def test_a_training_without_a_finite_loss_ends_with_a_sentence() -> None:
    words = "--data digits --model mlp --eps 0 --optimizer sgd --lr 1e9 --epochs 1 --out t.pt"
    done = landscape("train", *words.split())
    assert done.code == 1
    assert_one_sentence(done.err)
    assert not Path("t.pt").exists()


def test_an_unfinished_run_is_no_result_to_draw(measured: Path) -> None:
    from landscape.results import write_snapshot

    write_snapshot(Path("x.h5.partial"), {"values": np.zeros(1)}, {}, identity={})
    done = landscape("plot", "x.h5.partial")
    assert done.code == 1
    assert "x.h5.partial is an unfinished computation; repeat the command that began it" in done.err
