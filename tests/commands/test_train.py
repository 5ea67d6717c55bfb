"""`landscape train`: its words for schedules, what it refuses, what it leaves, and how it goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from landscape.checkpoint import read_checkpoint
from landscape.data import load_data
from landscape.training.trainer import Trainer
from tests.commands.runner import contents, landscape

WORDS = ("train", "--data", "digits", "--model", "mlp:hidden=4", "--out", "t.pt", "--batch-size", "512")
PERIODIC = (
    "--eps 8/255 --eps-schedule cosine --eps-overshoot 12/255 --eps-start 2/255 --periods 0,2,3 "
    "--lr 0.1 --lr-schedule step --lr-drops 1/2 --lr-warmup 0.5 --schedule-by batch --attack pgd:steps=1,step=2/255"
)


def test_every_schedule_can_be_typed() -> None:
    done = landscape(*WORDS, *PERIODIC.split())
    assert (done.code, done.err) == (0, "")
    assert {Path("t-epoch2.pt"), Path("t-epoch3.pt")} < set(contents(Path()))
    training = read_checkpoint("t.pt").training
    told = {"periods": [2, 3], "epochs": 3, "lr_drops": [0.5], "lr_warmup": 0.5, "schedule_by": "batch"}
    assert {name: training[name] for name in told} == told
    eps = [2 / 255, 12 / 255, 8 / 255]
    assert [training[name] for name in ("eps_start", "eps_overshoot", "eps")] == eps
    # Batches of 512, 512 and 413: the last of an epoch begins at 2/3 of it.
    assert [record["lr"] for record in training["history"]] == pytest.approx([0.1, 0.01, 0.01])


BEST = ("--eps", "0.02", "--epochs", "3", "--ema", "0.9", "--holdout", "200", "--keep-best", "--test-every", "3")


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: int) -> None:
    """Send signals in the midst of a batch."""
    advance = Trainer._advance

    def advancing(self: Trainer) -> None:
        if self.step == step:
            for number in numbers:
                os.kill(os.getpid(), number)
        advance(self)

    monkeypatch.setattr(Trainer, "_advance", advancing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on_by_the_same_command(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (*BEST, "--test-examples", "20")
    assert landscape(*WORDS, *small).code == 0
    wanted = {path: content for path, content in contents(Path()).items() if path.suffix == ".pt"}
    assert {path.name for path in wanted} == {"t.pt", "t-epoch0.pt", "t-best.pt", "t-ema.pt"}
    with monkeypatch.context() as patch:
        kill_at(patch, 4, number)
        done = landscape(*WORDS, *small, "--overwrite")
    assert done.code == 130
    left = "what is done is in t.resume.pt, and the same command without --overwrite goes on from there"
    assert done.err == f"interrupted; {left}\n"
    assert landscape("info", "t.traces.h5").out.count("partial; unfinished") == 1
    done = landscape(*WORDS, *small, "--resume")
    assert (done.code, done.err) == (0, "going on from epoch 2, batch 3 (t.resume.pt)\n")
    assert {path: content for path, content in contents(Path()).items() if path.suffix == ".pt"} == wanted


def test_a_second_interruption_keeps_what_was_saved_before(monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at(monkeypatch, 4, signal.SIGINT, signal.SIGINT)
    done = landscape(*WORDS, *BEST, "--test-examples", "20", "--save-every", "0")
    assert (done.code, Path("t.resume.pt").exists()) == (130, True)
    said = "interrupted at once; what is done is in t.resume.pt, and the same command goes on from there"
    assert done.err == f"{said}\n"


def test_the_guard_is_heard_without_v() -> None:
    own = load_data("digits")
    images, labels = own.images[:400].numpy(), own.labels[:400].numpy()
    np.savez("own.npz", images=images[labels != 3], labels=labels[labels != 3])
    words = ["own.npz" if word == "digits" else word for word in WORDS[:-2]]
    done = landscape(*words, "--batch-size", "100", "--eps", "0", "--epochs", "1")
    assert done.code == 0
    said = "caution: missing-class (no example of class 3 among the 358 to learn from); it cannot be learnt"
    assert done.err == f"{said}\n"
    (event,) = read_checkpoint("t.pt").training["guard"]
    assert (event["kind"], event["until"]) == ("missing-class", None)


def test_a_loss_that_is_no_number_says_which_batch_and_what_is_kept() -> None:
    words = "--eps 0 --optimizer sgd --lr 3e38 --epochs 3 --lr-schedule cyclic --save-every 0"
    done = landscape(*WORDS, *words.split())
    assert done.code == 1
    assert "Error: the loss became nan in epoch 1, batch 3 (eps = 0, lr = " in done.err
    assert "; t.resume.pt holds the run as it last was finite, and --force-lr " in done.err
    assert "\n" not in done.err.strip()
    assert all(value.isfinite().all() for value in read_checkpoint("t-epoch0.pt").state_dict.values())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--eps 0.1 --periods 4,2", 2, "the periods 4,2 do not increase; give their last epochs"),
        ("--eps 0.1 --periods 2,x", 2, "is no list of epochs; write 5,10,20"),
        ("--eps 0.1 --periods 2,4 --epochs 5", 2, "the periods end at epoch 4 and the run at 5"),
        (
            "--eps 0.1 --eps-schedule linear --eps-overshoot 1.5",
            2,
            "eps_overshoot = 1.5 is outside [0, 1], the range of pixels",
        ),
        ("--eps 0.1 --eps-schedule linear --eps-start 0.2", 2, "eps_start = 0.2 is above eps = 0.1; a warm-up climbs"),
        ("--eps 0.1 --lr-drops 1/2,x", 2, "is no list of fractions; write 0.5,0.75"),
        ("--eps 0.1 --lr-drops 100,150", 2, "give fractions of the run or its period, such as 0.5"),
        ("--eps 0.1 --lr-warmup 30", 2, "lr_warmup = 30 is longer than the 20 epochs"),
        ("--eps 0.1 --keep-best", 2, "give --holdout N too, such as --holdout 1000"),
        (
            "--eps 0.1 --holdout 1437",
            2,
            "holdout = 1437 leaves nothing to learn from 1437 examples; give --holdout 143",
        ),
        ("--eps 0.1 --ema 1", 2, "ema = 1 is no decay; give a number in (0, 1), such as 0.999"),
        ("--eps 0.1 --resume", 1, "--resume goes on with an unfinished run, and t.resume.pt is not there; leave"),
        ("--eps 0.1 --test-every 5 --trace-every 0", 2, "--test-every writes into the traces"),
        ("--eps 0.1 --trace layers,cosines", 2, "'cosines' is nothing that traces can hold; did you mean cosine"),
        ("--eps 0.1 --trace layers --trace-every 0", 2, "--trace adds to the traces, and --trace-every 0 keeps none"),
        ("--eps 0.1 --model lenet:input=1x28x28", 2, "fails on the 1x8x8 images in 10 classes of digits"),
        ("--eps 0.1 --batch-size 1438", 2, "batch_size = 1438 is more than the 1437 examples; give --batch-size 1437"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_file_is_written(words: str, code: int, message: str) -> None:
    done = landscape(*WORDS, *words.split())
    assert done.code == code
    assert message in done.err
    assert contents(Path()) == {}
