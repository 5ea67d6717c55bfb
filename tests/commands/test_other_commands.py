"""`landscape train`, `info`, `plot` and `demo`: what they write and what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.checkpoint import read_checkpoint
from landscape.commands import measurement
from landscape.commands.measurement import Request
from landscape.data import load_data
from landscape.results import read_result
from landscape.training import trainer
from tests.commands.runner import contents, landscape

TRAIN = ["train", "--data", "digits", "--model", "mlp:hidden=4", "--eps", "0", "--epochs", "2", "--out", "t.pt"]


def test_train_writes_its_checkpoints_and_says_how_good_they_are() -> None:
    done = landscape(*TRAIN, "--save-epochs", "1")
    assert (done.code, done.err) == (0, "")
    assert set(contents(Path())) == {Path("t.pt"), Path("t-epoch0.pt"), Path("t-epoch1.pt"), Path("t.traces.h5")}
    training = read_checkpoint("t.pt").training
    assert (training["eps"], training["epochs"], training["seed"]) == (0.0, 2, 0)
    assert "training mlp:hidden=4 on digits at linf eps 0 (constant), 2 epochs" in done.out
    assert f"{100 * training['final']['clean_test_error']:.2f} %" in done.out
    assert done.out.endswith("wrote t.pt, t-epoch0.pt, t-epoch1.pt, t.traces.h5\nnext: landscape hessian t.pt\n")


def test_what_to_type_next_can_be_pasted() -> None:
    done = landscape(*TRAIN[:-1], "a net.pt")
    assert done.out.endswith("\nnext: landscape hessian 'a net.pt'\n")
    done = landscape("hessian", "a net.pt", "--top", "1", "--n-examples", "16", "--out", "its hessian.h5")
    assert done.out.endswith("\nnext: landscape plot 'its hessian.h5'\n")
    words = shlex.split(done.out.splitlines()[-1].removeprefix("next: landscape "))
    assert landscape(*words).code == 0


def test_what_to_type_next_names_the_code_that_a_checkpoint_may_not_run() -> None:
    Path("own.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    done = landscape(
        "train", "--data", "digits", "--model", "own.py:net", "--eps", "0", "--epochs", "1", "--out", "t.pt"
    )
    assert done.out.endswith("\nnext: landscape hessian t.pt --model own.py:net\n")
    assert landscape("hessian", "t.pt", "--model", "own.py:net", "--top", "1", "--n-examples", "50").code == 0


def test_the_same_training_gives_the_same_bytes_and_asks_before_it_replaces_them() -> None:
    assert landscape(*TRAIN, "-q").code == 0
    nets = [Path("t.pt").read_bytes(), Path("t-epoch0.pt").read_bytes()]
    assert landscape(*TRAIN, "-q", "--overwrite").code == 0
    assert [Path("t.pt").read_bytes(), Path("t-epoch0.pt").read_bytes()] == nets
    first = contents(Path())
    done = landscape(*TRAIN)
    assert done.code == 1
    assert "t.pt exists and is kept; give --overwrite, or another --out" in done.err
    assert contents(Path()) == first


def test_an_interrupted_training_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: trainer.Trainer, *, progress: Any, **_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        progress("training", 1, 2)

    monkeypatch.setattr(trainer.Trainer, "run", interrupted)
    done = landscape(*TRAIN)
    assert done.code == 130
    assert done.err == "interrupted; nothing was saved\n"
    assert contents(Path()) == {}  # no batch is done, and nothing is in the way of the next run


def test_info_of_a_checkpoint_and_of_a_result(tiny: Path, measured: Path) -> None:
    net = landscape("info", tiny)
    assert net.code == 0
    assert "lenet:width=1,input=1x8x8,classes=10" in net.out
    assert read_checkpoint(tiny).sha256 in net.out
    result = landscape("info", measured)
    assert result.code == 0
    assert "l-inf ball, eps = 0.02; attack pgd:steps=10,rel_step=0.25,restarts=1; adversary frozen" in result.out
    assert str(read_result(measured).attrs["command"]) in result.out
    assert landscape("info", "digits/eps0.1").code == 0


def test_info_says_what_judged_a_net_and_leaves_out_what_was_not_computed(tiny: Path) -> None:
    told = [re.split(r"  +", line) for line in landscape("info", tiny).out.splitlines()]
    assert [text for name, text in told if name == "attack"] == ["pgd:steps=10,rel_step=0.25,restarts=1,keep=last"]
    assert [text for name, text in told if name == "judged by"] == ["pgd:steps=10,rel_step=0.25,restarts=1"]
    assert {"clean test loss", "robust test error"} <= {name for name, _ in told}
    digits = load_data("digits")
    np.savez("own.npz", images=digits.images[:100].numpy(), labels=digits.labels[:100].numpy())
    assert landscape(*(word.replace("digits", "own.npz") for word in TRAIN), "--batch-size", "50").code == 0
    own = landscape("info", "t.pt").out
    assert "clean train loss" in own and "test loss" not in own and "nan" not in own


def test_plot_draws_beside_the_first_file_or_where_it_is_told(measured: Path) -> None:
    shutil.copy(measured, "x.h5")
    done = landscape("plot", "x.h5")
    assert (done.code, done.out) == (0, "wrote x.png, x.pdf\n")
    assert landscape("plot", "x.h5") == done  # a picture of ours is drawn again
    Path("x.pdf").write_bytes(b"%PDF of somebody else's")
    kept = landscape("plot", "x.h5")
    assert (kept.code, kept.err) == (1, "Error: x.pdf exists and is kept; give --overwrite, or another --out\n")
    assert Path("x.pdf").read_bytes() == b"%PDF of somebody else's"
    assert landscape("plot", "x.h5", "--overwrite") == done
    told = landscape("plot", "x.h5", measured, "--out", "pictures/two.pdf")
    assert told.out == "wrote pictures/two.png, pictures/two.pdf\n"
    before = contents(Path())
    refused = landscape("plot", "x.h5", "--out", "pictures/two.pdf")
    assert refused.code == 1
    assert "pictures/two.png exists and is kept; give --overwrite" in refused.err
    assert contents(Path()) == before


def test_the_demo_measures_two_nets_and_draws_them(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = measurement.measure

    def quick(source: str, request: Request, **settings: Any) -> Any:
        return measure(source, replace(request, top=2, n_examples=64), **settings)

    monkeypatch.setattr(measurement, "measure", quick)
    done = landscape("demo", "--out", "tour")
    assert (done.code, done.err) == (0, "")
    assert {path.name for path in Path("tour").iterdir()} >= {
        "digits-eps0.hessian-seed0.h5",
        "digits-eps0.1.hessian-seed0.h5",
        "fig3_hessian.pdf",
        "fig3_hessian.png",
    }
    results = [read_result(path) for path in sorted(Path("tour").glob("*.h5"))]
    assert [result.attrs["eps"] for result in results] == [0.1, 0.0]
    assert "pictures: tour/fig3_hessian.p" in done.out
    assert landscape("demo", "--out", "tour").out.count("found tour/") == 2
    # After an upgrade the names are the same, and what lies there may be anything.
    first, second = sorted(Path("tour").glob("*.h5"))
    with h5py.File(first, "r+") as file:
        file.attrs["settings"] = json.dumps({**json.loads(file.attrs["settings"]), "tol": 0.5})
    second.write_bytes(b"of another schema, or damaged")
    again = landscape("demo", "--out", "tour")
    assert (again.code, again.err) == (0, "")
    assert again.out.count("it is measured anew") == 2
    assert [read_result(path).attrs["eps"] for path in (first, second)] == [0.1, 0.0]
