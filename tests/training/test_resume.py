"""A run that is killed, interrupted or fails at any batch, and goes on, to the files of the uninterrupted run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from landscape import files
from landscape.checkpoint import read_checkpoint
from landscape.errors import CheckpointError, LandscapeError
from landscape.streams import stream
from landscape.training import Recipe, run
from landscape.training.resume import read_state
from landscape.training.tracing import Tracing

NET = """
from torch import nn
def net():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 10)
    )
def spoilt():
    made, gradients = net(), []  # the first gradient is that of a trial, the tenth that of the ninth update
    made[5].bias.register_hook(lambda g: gradients.append(1) or g * (float("nan") if len(gradients) == 10 else 1))
    return made
"""
# All that a state has to hold: momentum, an average, BatchNorm's statistics, dropout and augmentation, a choice on
# held-out examples, two periods, test rows, optional columns and probes. 1,337 images in batches of 400: 4 batches an
# epoch, 12 in all.
RECIPE = Recipe(
    0.03,
    eps_schedule="linear",
    periods=(1, 3),
    optimizer="sgd",
    lr=0.05,
    lr_schedule="cosine",
    schedule_by="batch",
    batch_size=400,
    attack="pgd:steps=1",
    augment=True,
    ema=0.9,
    holdout=100,
)
BATCHES = 12
TRACING = Tracing(
    halves=2,
    test_every=5,
    test_examples=20,
    probe_every=2,
    extras=("layers", "cosine", "lambda1"),
    extras_every=6,
)


class Crash(BaseException):
    """A fault that nothing in the run expects."""


def start(folder: Path, recipe: Recipe = RECIPE, **settings):
    (folder.parent / "net.py").write_text(NET)
    given = {"model": f"{folder.parent}/net.py:net", "data": "digits", "out": folder / "net.pt", "keep_best": True}
    return run(recipe, **{**given, "tracing": TRACING, "save_every": 0, **settings})


def at(batch: int, fault: BaseException):
    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("training", batch):
            raise fault

    return progress


def contents(folder: Path) -> dict[str, object]:
    """Return the bytes of every file, and of the traces everything but the times."""
    found: dict[str, object] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix != ".h5":
            found[path.name] = path.read_bytes()
            continue
        with h5py.File(path) as file:
            names: list[str] = []
            file.visit(names.append)
            arrays = {name: file[name][()].tobytes() for name in names if isinstance(file[name], h5py.Dataset)}
            attrs = {name: str(file.attrs[name]) for name in file.attrs if name not in ("created", "wall_seconds")}
            found[path.name] = {**arrays, **attrs, "checkpoint": ""}  # the folders of the two runs differ
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    folder.mkdir()
    start(folder)
    names = {f"net{end}" for end in (".pt", "-epoch0.pt", "-epoch1.pt", "-epoch3.pt", "-best.pt", "-ema.pt")}
    assert {path.name for path in folder.iterdir()} == {*names, "net.traces.h5"}
    return folder


@pytest.fixture
def folder(whole: Path, request) -> Path:
    made = whole.parent / request.node.name.replace("/", "-")
    made.mkdir()
    return made


@pytest.mark.parametrize("batch", [1, 4, 6, 11, 12])
def test_an_interrupted_run_goes_on_to_the_same_bytes(whole: Path, folder: Path, batch: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, progress=at(batch, KeyboardInterrupt()), save_every=1e9)
    _, state = read_state(folder / "net.resume.pt")
    assert state["trainer"]["epoch"] * 4 + state["trainer"]["batch"] == batch
    steps = []
    start(folder, resume=True, progress=lambda stage, done, _: steps.append(done) if stage == "training" else None)
    assert steps == list(range(batch + 1, BATCHES + 1))  # nothing is done twice
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize(("stage", "done"), [("test error, clean", 20), ("train error, attacked", 100)])
def test_an_interruption_in_the_midst_of_a_judgement_loses_nothing(
    whole: Path, folder: Path, stage: str, done: int
) -> None:
    """Test rows, the guard's probe, the choice of the best epoch, the last judgement: each third one is interrupted."""
    for nth in range(1, 40, 3):
        seen = []

        def interrupt(now: str, reached: int, total: int, nth: int = nth, seen: list = seen) -> None:
            if (now, reached) == (stage, done):
                seen.append(1)
                if len(seen) == nth:
                    raise KeyboardInterrupt

        try:
            start(folder, progress=interrupt, save_every=1e9)
        except KeyboardInterrupt:
            continue
        break
    assert contents(folder) == contents(whole)


def test_a_crash_goes_on_from_the_last_state(whole: Path, folder: Path) -> None:
    for batch in (3, 8):
        with pytest.raises(Crash):
            start(folder, progress=at(batch, Crash()))
        _, state = read_state(folder / "net.resume.pt")
        assert state["trainer"]["epoch"] * 4 + state["trainer"]["batch"] == batch - 1  # of before the batch
    start(folder)
    assert contents(folder) == contents(whole)


KILLER = """
import os, signal, sys
from pathlib import Path
from tests.training.test_resume import start

folder, *batches = sys.argv[1:]
for batch in [*map(int, batches), 0]:
    def kill(stage, done, total):
        if (stage, done) == ("training", batch):
            os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        start(Path(folder), progress=kill)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_run_that_is_killed_at_random_batches_ends_in_the_same_bytes(whole: Path, folder: Path) -> None:
    # The first always: its state is of an epoch that has not begun.
    batches = [1, *sorted(stream(os.getpid(), "kills").integers(2, BATCHES + 1, size=2).tolist())]
    words = [sys.executable, "-c", KILLER, str(folder), *map(str, batches)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(words, capture_output=True, text=True, cwd=root, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    # A batch that was killed once is done again, and killed again where it is drawn twice.
    assert done.stdout.split() == ["-9"] * len(batches) + ["0"], (batches, done.stderr)
    assert contents(folder) == contents(whole), batches
    assert not list(folder.glob(".*"))


def test_a_state_of_other_settings_is_refused_with_the_difference(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, progress=at(5, KeyboardInterrupt()))
    before = contents(folder)
    for recipe, message in [
        (replace(RECIPE, weight_decay=1e-3), r"\(weight_decay was 0.0, now 0.001\); type the command that began it"),
        (replace(RECIPE, ema=0.5, seed=1), r"ema was 0.9, now 0.5; seed was 0, now 1"),
        (replace(RECIPE, lr=0.01), r"lr was 0.05, now 0.01\); give --lr 0.05 --force-lr 0.01 to go on with that"),
    ]:
        with pytest.raises(LandscapeError, match=f"net.resume.pt belongs to a run of other settings .*{message}"):
            start(folder, recipe)
    with pytest.raises(LandscapeError, match=r"save_epochs was \[0, 1, 3\], now \[0, 1, 2, 3\]"):
        start(folder, save_epochs=[2])
    assert contents(folder) == before


def test_overwriting_begins_anew(whole: Path, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, replace(RECIPE, seed=1), progress=at(5, KeyboardInterrupt()))
    start(folder, overwrite=True)
    assert contents(folder) == contents(whole)


def test_an_interrupted_overwriting_keeps_the_old_net_till_its_end(whole: Path, folder: Path) -> None:
    start(folder, replace(RECIPE, seed=1))
    old = (folder / "net.pt").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        start(folder, overwrite=True, progress=at(5, KeyboardInterrupt()))
    assert (folder / "net.pt").read_bytes() == old
    start(folder)
    assert contents(folder) == contents(whole)


def test_another_learning_rate_is_forced_and_told(folder: Path) -> None:
    recipe = replace(RECIPE, lr_schedule="constant")
    with pytest.raises(KeyboardInterrupt):
        start(folder, recipe, progress=at(6, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        start(folder, recipe, force_lr=0.01, progress=at(9, KeyboardInterrupt()))
    training = start(folder, recipe).training  # what was forced once stays
    assert training["lr"] == 0.01
    assert training["overrides"] == [{"epoch": 2, "batch": 3, "lr": 0.01}]
    assert read_checkpoint(folder / "net-epoch1.pt").training["lr"] == 0.05
    with h5py.File(folder / "net.traces.h5") as file:
        np.testing.assert_array_equal(file["learning_rate"][()], [0.05] * 6 + [0.01] * 6)


def test_there_has_to_be_a_run_to_go_on_with(folder: Path) -> None:
    for given, message in [
        ({"resume": True}, "--resume goes on with an"),
        ({"force_lr": 0.1}, "--force-lr goes on"),
    ]:
        with pytest.raises(LandscapeError, match=f"{message}.*net.resume.pt is not there; leave"):
            start(folder, **given)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("harm", ["empty", "truncated", "page", "pickle", "other", "old"])
def test_a_damaged_state_is_refused_and_kept(folder: Path, harm: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, progress=at(2, KeyboardInterrupt()))
    path = folder / "net.resume.pt"
    good = path.read_bytes()
    held = torch.load(path, weights_only=True)
    path.write_bytes({"empty": b"", "page": b"<html>"}.get(harm, good[: len(good) // 2]))
    if harm == "pickle":
        torch.save({**held, "state": Path("x")}, path)
    if harm == "other":
        torch.save({"weights": torch.zeros(2)}, path)
    if harm == "old":
        torch.save({**held, "version": "0.0.1"}, path)
    damaged = path.read_bytes()
    with pytest.raises(CheckpointError, match="net.resume.pt .*give --overwrite to begin anew") as caught:
        start(folder)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_full_disk_on_the_way_does_not_end_the_run(
    whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_file = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if str(target).endswith(".resume.pt") and Path(target).exists():  # the first one, before any work, found room
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    start(folder)
    assert "could not be saved on the way: " in caplog.text and "the disk is full" in caplog.text
    assert contents(folder) == contents(whole)


def test_an_interrupted_write_leaves_the_state_before(
    whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(folder, progress=at(5, KeyboardInterrupt()), save_every=1e9)
    before = (folder / "net.resume.pt").read_bytes()

    def torn(source: str | Path, target: str | Path) -> None:
        raise Crash(f"in the midst of writing {target}")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", torn)
        with pytest.raises(Crash, match="net.resume.pt|net-epoch0.pt"):
            start(folder)
    assert (folder / "net.resume.pt").read_bytes() == before
    assert not list(folder.glob(".*"))
    start(folder)
    assert contents(folder) == contents(whole)


def test_weights_that_are_not_finite_are_never_saved(folder: Path) -> None:
    settings = {"model": f"{folder.parent}/net.py:spoilt", "tracing": None}
    with pytest.raises(LandscapeError, match=r"the loss became nan in epoch 3, batch 2 \(eps = 0.03, lr = "):
        start(folder, **settings)  # its ninth update makes them NaN, and the tenth batch sees it
    _, state = read_state(folder / "net.resume.pt")
    assert (state["trainer"]["epoch"], state["trainer"]["batch"]) == (2, 0)
    assert all(torch.isfinite(value).all() for value in state["trainer"]["net"].values())
    assert read_checkpoint(folder / "net-epoch1.pt").training["epoch"] == 1
    assert start(folder, **settings).training["epoch"] == 3  # the fault of the ninth gradient after its beginning


def test_weights_that_the_last_update_of_an_epoch_spoils_are_noticed_there(folder: Path) -> None:
    settings = {"model": f"{folder.parent}/net.py:spoilt", "tracing": None}
    recipe = replace(RECIPE, batch_size=150)  # nine batches an epoch, and the ninth gradient is the fault
    with pytest.raises(LandscapeError, match=r"the weights are not finite after epoch 1, batch 9; try a smaller"):
        start(folder, recipe, save_every=1e9, **settings)
    assert not list(folder.iterdir())
