"""`landscape train`: its words for schedules, what it refuses, what it leaves, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape.checkpoint import read_checkpoint
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


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--eps 0.1 --periods 4,2", 2, "the periods 4,2 do not increase; give their last epochs"),
        ("--eps 0.1 --periods 2,x", 2, "is no list of epochs; write 5,10,20"),
        ("--eps 0.1 --periods 2,4 --epochs 5", 2, "the periods end at epoch 4 and the run at 5"),
        ("--eps 0.1 --eps-schedule linear --eps-overshoot 1.5", 2, "eps = 1.5 is outside [0, 1], the range of pixels"),
        ("--eps 0.1 --eps-schedule linear --eps-start 0.2", 2, "eps_start = 0.2 is above eps = 0.1; a warm-up climbs"),
        ("--eps 0.1 --lr-drops 1/2,x", 2, "is no list of fractions; write 0.5,0.75"),
        ("--eps 0.1 --lr-drops 100,150", 2, "give fractions of the run or its period, such as 0.5"),
        ("--eps 0.1 --lr-warmup 30", 2, "lr_warmup = 30 is longer than the 20 epochs"),
        ("--eps 0.1 --batch-size 1438", 2, "batch_size = 1438 is more than the 1437 examples; give --batch-size 1437"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_file_is_written(words: str, code: int, message: str) -> None:
    done = landscape(*WORDS, *words.split())
    assert done.code == code
    assert message in done.err
    assert contents(Path()) == {}
