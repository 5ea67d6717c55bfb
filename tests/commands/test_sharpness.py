"""`landscape sharpness`: its tables, its study, found again, resumed after an interruption, and wrong usage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses import sharpness as analysis

from landscape import save_checkpoint
from landscape.commands import partial
from landscape.models import build_model
from landscape.results import read_result
from landscape.terminal import Interruption
from tests.commands.runner import contents, landscape

FAST = ("--n-examples", "40", "--directions", "2", "--random-radii", "0.2", "--worst-radii", "0.005", "--probes", "2")


def net(path: str, eps: float, seed: int, *, data: str = "digits", **training: Any) -> str:
    model, spec = build_model("mlp:hidden=6", input=(1, 8, 8), classes=10, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1 + eps
    settings = {"eps": eps, "norm": "linf", "seed": seed, **training}
    save_checkpoint(path, model, model_spec=spec, data_spec=data, training=settings)
    return path


def test_nets_of_several_seeds_are_measured_and_compared() -> None:
    nets = [net(f"n{eps}-{seed}.pt", eps, seed) for eps in (0.0, 0.1) for seed in range(3)]
    done = landscape("sharpness", *nets, "--eps", "0,0.1", *FAST)
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert said.count("curvature, by") == said.count("at the worst shifts found") == 6
    assert "λ₁ by the eps of training (rows) and of measurement (columns)" in said
    for label in (
        "lambda_1",
        "lambda_1/loss",
        "trace",
        "worst shifts of 0.005, random shifts of 0.2",
        "worst_rise/loss",
        "lambda_1, eps 0.1",
    ):
        assert label in said
    files = sorted(Path("results").glob("*.sharpness-*.h5"))
    assert len(files) == 6
    assert said.endswith(f"next: landscape plot {' '.join(f'results/{file.name}' for file in files)}")
    before = contents(Path("results"))
    again = landscape("sharpness", *nets, "--eps", "0,0.1", *FAST)
    assert again.code == 0
    assert again.out.count("found results/") == 6
    assert contents(Path("results")) == before
    compared = landscape("compare", *files, "--quantity", "worst_rise", "--at", "0.005", "--eps", "0.1")
    assert compared.code == 0
    assert "rise of the loss at the worst relative shift of 0.005, eps = 0.1" in compared.out
    assert landscape("plot", *files).code == 0


def test_the_radius_is_that_of_training_where_none_is_given_and_one_radius_is_compared_with_nothing() -> None:
    nets = [net(f"n{seed}.pt", 0.1, seed) for seed in range(2)]
    done = landscape("sharpness", *nets, *FAST, "--measures", "lambda_1")
    assert done.code == 0
    assert "there is one eps of training that counts, and nothing to compare it with" in done.out
    assert "verdict" not in done.out
    result = read_result(min(Path("results").glob("n0.sharpness-*.h5")))
    assert result.eps.tolist() == [0.1]
    assert result.attrs["measures"] == ["lambda_1"]
    assert "trace" not in result.arrays


def test_an_interrupted_run_goes_on_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("sharpness", net("n.pt", 0.1, 0), "--eps", "0,0.1", *FAST)
    assert landscape(*words, "--out", "whole.h5").code == 0
    put, calls = analysis._Rows.put, []

    def stopping(self: Any, unit: str, values: Any) -> None:
        put(self, unit, values)
        calls.append(unit)
        if len(calls) == 3:
            raise Interruption

    monkeypatch.setattr(partial, "SECONDS_BETWEEN_WRITES", 0)
    monkeypatch.setattr(partial, "_SHARE", 0)
    monkeypatch.setattr(analysis._Rows, "put", stopping)
    done = landscape(*words, "--out", "x.h5")
    assert done.code == 130
    assert "the same command resumes it" in done.err
    assert landscape(*words, "--out", "x.h5").code == 0
    assert len(calls) == len(set(calls)) == 2 * (1 + 2 + 1)  # nothing that was finished was measured again
    whole, resumed = read_result("whole.h5"), read_result("x.h5")
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)
    assert not Path("x.h5.partial").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing argument 'CKPT...'"),
        (["n.pt", "--measures", "tracee"], 2, "'tracee' is no measure; there are lambda_1, trace"),
        (["n.pt", "--worst-radii", "0,1"], 2, "are no relative radii; write positive shares"),
        (["n.pt", "--probes", "0"], 2, "0 is not in the range x>=2"),
        (["n.pt", "--eps", "4"], 2, "did you mean 4/255?"),
        (["n.pt", "m.pt", "--out", "s.h5"], 2, "--out names one file, and 2 checkpoints came"),
        (["n.pt", "none.pt"], 1, "none.pt"),
        (["n.pt", "m.pt"], 2, "n.pt was trained on digits, and m.pt on mnist; one study measures all nets on the same"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(words: list[str], code: int, said: str) -> None:
    net("n.pt", 0.1, 0)
    net("m.pt", 0.1, 1, data="mnist")
    before = contents(Path())
    done = landscape("sharpness", *words)
    assert (done.code, done.out) == (code, "")
    assert said in " ".join(done.err.split())
    assert contents(Path()) == before
