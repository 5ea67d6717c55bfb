"""`landscape scattering`: its tables, directions and ways, found again, resumed after Ctrl-C, and wrong usage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses import scattering as analysis

from landscape import save_checkpoint
from landscape.commands import partial
from landscape.models import build_model
from landscape.results import read_result
from landscape.terminal import Interruption
from tests.commands.runner import contents, landscape

FAST = ("--n-examples", "30", "--per-example", "2")


def net(path: str, eps: float, seed: int, *, data: str = "digits", scale: float = 1.0, **training: Any) -> str:
    model, spec = build_model("mlp:hidden=6", input=(1, 8, 8), classes=10, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= scale
    settings = {"eps": eps, "norm": "linf", "seed": seed, **training}
    save_checkpoint(path, model, model_spec=spec, data_spec=data, training=settings)
    return path


def test_nets_are_measured_found_again_compared_and_drawn() -> None:
    nets = [net(f"n{eps}-{seed}.pt", eps, seed) for eps in (0.05, 0.1) for seed in range(2)]
    words = ("scattering", *nets, *FAST, "--radii", "0.05,0.2")
    done = landscape(*words)
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert said.count("perturbations at the net and at distance over ||w|| r, one start") == 4
    for label in (
        "two random vertices",
        "two random starts",
        "the adversary moved first",
        "means over 2 single examples",
    ):
        assert said.count(label) == 4
    files = sorted(Path("results").glob("*.scattering-*.h5"))
    assert f"next: landscape compare {' '.join(f'results/{file.name}' for file in files)}" in said
    assert said.endswith(f"next: landscape plot {' '.join(f'results/{file.name}' for file in files)}")
    result = read_result(files[0])
    assert (result.attrs["eps"], result.attrs["train_eps"], result.attrs["along"]) == (0.05, 0.05, "random")
    before = contents(Path("results"))
    assert landscape(*words).out.count("found results/") == 4
    assert contents(Path("results")) == before
    compared = landscape("compare", *files, "--at", "0.2")
    assert compared.code == 0
    assert "centred and scaled by the feasible box at a radius of 0.2, each net at its own eps" in compared.out
    assert landscape("compare", *files, "--quantity", "adversary_share").code == 0
    wrong = landscape("compare", *files, "--at", "0.1")
    assert (wrong.code, "measures at a radius of 0.05, 0.2, and not 0.1" in " ".join(wrong.err.split())) == (1, True)
    assert landscape("plot", *files, "--out", "all.png").code == 0
    described = landscape("info", files[0])
    assert "how perturbations and gradients turn as the weights move" in described.out


def test_the_first_eigenvector_is_computed_once_and_taken_from_the_result_afterwards() -> None:
    words = ("scattering", net("n.pt", 0.1, 0), *FAST, "--direction", "top1", "--radii", "0.01")
    done = landscape(*words)
    assert done.code == 0
    assert "top1 needs a Hessian of n.pt at this eps, and results/ holds none: computing it first" in done.out
    hessian = next(Path("results").glob("*.hessian-*.h5"))
    again = landscape(*words)
    assert "found results/" in again.out
    assert "computing it first" not in again.out
    named = landscape(*words[:-4], "--direction", str(hessian), "--radii", "0.01", "--out", "s.h5")
    assert named.code == 0
    result, own = read_result("s.h5"), read_result(next(Path("results").glob("*.scattering-*.h5")))
    np.testing.assert_array_equal(result.box_cosine, own.box_cosine)
    assert result.attrs["direction_name"].startswith("eigenvector 1")


def test_the_way_along_training_and_an_equal_rise() -> None:
    first, last = net("n-epoch1.pt", 0.1, 0, epoch=1), net("n.pt", 0.1, 0, scale=1.1, epoch=2)
    done = landscape("scattering", first, "--to", last, *FAST, "--out", "way.h5")
    assert (done.code, done.err) == (0, "")
    result = read_result("way.h5")
    np.testing.assert_allclose(result.radius, 0.1 * np.array([0.25, 0.5, 0.75, 1]), rtol=1e-5)
    assert (result.attrs["to"], result.attrs["to_training"]["epoch"], result.attrs["along"]) == ("n", 2, "to")
    other = landscape("scattering", first, "--to", net("m.pt", 0.1, 1), *FAST, "--radii", "1", "--out", "other.h5")
    assert other.code == 0
    assert "caution: the nets are of training seeds 0 and 1: the way between them is no training" in other.err
    assert landscape("scattering", last, *FAST, "--rise", "0.05", "--out", "rise.h5").code == 0
    risen = read_result("rise.h5")
    assert float(risen.loss[0] - risen.attrs["centre_loss"]) == pytest.approx(0.05, rel=0.021)


def test_an_interrupted_run_goes_on_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("scattering", net("n.pt", 0.1, 0), *FAST, "--radii", "0.01,0.1")
    assert landscape(*words, "--out", "whole.h5").code == 0
    put, calls = analysis._Rows.put, []

    def stopping(self: Any, unit: str, values: Any) -> None:
        put(self, unit, values)
        calls.append(unit)
        if len(calls) == 2:
            raise Interruption

    monkeypatch.setattr(partial, "SECONDS_BETWEEN_WRITES", 0)
    monkeypatch.setattr(partial, "_SHARE", 0)
    monkeypatch.setattr(analysis._Rows, "put", stopping)
    done = landscape(*words, "--out", "x.h5")
    assert done.code == 130
    assert "the same command resumes it" in done.err
    assert landscape(*words, "--out", "x.h5").code == 0
    assert sorted(set(calls)) == ["point/0", "point/1", "start"]
    assert calls.count("start") == 1  # what was kept was not measured again
    whole, resumed = read_result("whole.h5"), read_result("x.h5")
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)
    assert not Path("x.h5.partial").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing argument 'CKPT...'"),
        (["n.pt", "--radii", "0.1,x"], 2, "are no relative radii; write shares of the length of the weights"),
        (["n.pt", "--rise", "0"], 2, "are no rises of the loss; write positive ones in nats"),
        (["n.pt", "--rise", "0.1", "--radii", "0.1"], 2, "--radii and --rise both say where to measure"),
        (["n.pt", "--direction", "top3"], 2, "--direction top3 is unknown; give random, top1, or a FILE.h5"),
        (["n.pt", "--direction", "none.h5"], 1, "none.h5"),
        (["n.pt", "--to", "m.pt", "--direction", "top1"], 2, "the way to a net is a direction; give one"),
        (["n.pt", "--to", "m.pt", "--rise", "0.1"], 2, "the way to a net is a direction; give one"),
        (["n.pt", "--to", "m.pt", "--radii", "2"], 2, "--radii are shares of the way, and 2 came"),
        (["n.pt", "--to", "none.pt"], 1, "none.pt"),
        (["n.pt", "--to", "wide.pt"], 2, "wide.pt is no net of the shape of n (mlp:hidden=7"),
        (["n.pt", "--to", "n.pt"], 2, "both nets hold the same weights"),
        (["n.pt", "m.pt", "--to", "m.pt"], 2, "--to names where one net goes, and 2 checkpoints came"),
        (["n.pt", "m.pt", "--out", "s.h5"], 2, "--out names one file, and 2 checkpoints came"),
        (["n.pt", "--eps", "4"], 2, "did you mean 4/255?"),
        (["zero.pt", "--eps", "0.1"], 2, "the net's weights are all zero"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(words: list[str], code: int, said: str) -> None:
    net("n.pt", 0.1, 0)
    net("m.pt", 0.1, 0, scale=1.5)
    net("zero.pt", 0.1, 0, scale=0.0)
    model, spec = build_model("mlp:hidden=7", input=(1, 8, 8), classes=10, seed=0)
    save_checkpoint("wide.pt", model, model_spec=spec, data_spec="digits", training={"eps": 0.1})
    before = contents(Path())
    done = landscape("scattering", *words, *(FAST if words else ()))
    assert done.code == code
    assert said in " ".join(done.err.split())
    assert contents(Path()) == before
