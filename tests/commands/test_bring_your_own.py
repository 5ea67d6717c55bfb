"""A transformer, a GroupNorm ResNet and a regression, brought by file, through the commands; what cannot go is told."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape.checkpoint import read_checkpoint
from landscape.data import load_data
from landscape.results import Result, read_result
from tests import foreign_nets
from tests.commands.runner import landscape

FEW = ("--data", "mine.npz", "--eps", "0.03", "--attack", "pgd:steps=2,rel_step=0.5,restarts=1")


@pytest.fixture(autouse=True)
def mine() -> None:
    """The user's files in the test's own folder: the nets' code, two sets of weights of each, some digits."""
    shutil.copy(foreign_nets.__file__, "nets.py")
    for name in ("transformer", "resnet", "regressor"):
        for number in (1, 2):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(number)
                net = getattr(foreign_nets, name)()
            torch.save({"epoch": 1, "model": net.state_dict()}, f"{name}{number}.pth")
    train, test = load_data("digits"), load_data("digits", split="test")
    np.savez(
        "mine.npz",
        images=train.images[:20].numpy(),
        labels=train.labels[:20].numpy(),
        test_images=test.images[:12].numpy(),
        test_labels=test.labels[:12].numpy(),
    )


def result_of(*words: str, out: str) -> Result:
    done = landscape(*words, "--out", out)
    assert done.code in (0, 3), done.err
    return read_result(out)


@pytest.mark.parametrize("name", ["transformer", "resnet"])
def test_a_net_brought_by_file_goes_through_every_analysis(name: str) -> None:
    model = ("--model", f"nets.py:{name}")
    one, two = f"{name}1.pth", f"{name}2.pth"
    curved = result_of("hessian", one, *model, *FEW, "--top", "2", out="h.h5")
    assert curved.attrs["model"] == f"nets.py:{name}"
    assert curved.attrs["status"] == "complete"
    flat = result_of(
        "surface", one, *model, *FEW, "--dirs", "h.h5", "--grid", "3x2", "--range", "0.1", "--audit", "0", out="s.h5"
    )
    np.testing.assert_allclose(flat.arrays["centre_loss"][-1], curved.attrs["loss"], rtol=1e-5)
    way = result_of("connect", one, two, *model, *FEW, "--epochs", "1", "--points", "3", out="c.h5")
    assert way.attrs["steps"] > 0
    assert np.isfinite(way.arrays["loss"]).all()
    np.testing.assert_allclose(way.arrays["loss"][-1, 0], curved.attrs["loss"], rtol=1e-4)  # B(0) is the first net
    judged = result_of(
        "evaluate", one, *model, *FEW[:4], "--attacks", "clean,pgd2", "--no-adequacy", "--quiet", out="e.h5"
    )
    net = getattr(foreign_nets, name)().eval()
    net.load_state_dict(torch.load(one, weights_only=True)["model"])
    test = load_data("mine.npz", split="test")
    wrong = net(test.images.float() / (255 if test.images.dtype == torch.uint8 else 1)).argmax(1) != test.labels
    assert judged.arrays["error_rate"][0, 0] == pytest.approx(wrong.double().mean().item())


def test_the_hessian_of_a_transformer_is_that_of_the_dense_oracle() -> None:
    found = result_of(
        "hessian", "transformer1.pth", "--model", "nets.py:transformer", "--data", "mine.npz", "--eps", "0",
        "--top", "1", "--tol", "1e-4", "--no-guard", "--params", "encoder.layers.0.self_attn.*,head.weight", out="h.h5",
    )  # fmt: skip
    net = foreign_nets.transformer().double().eval()
    net.load_state_dict(torch.load("transformer1.pth", weights_only=True)["model"])
    data = load_data("mine.npz")
    images = data.images.double() / (255 if data.images.dtype == torch.uint8 else 1)
    weights = {n: p.detach() for n, p in net.named_parameters()}
    moving = [n for n in weights if "self_attn" in n or n == "head.weight"]
    sizes = [weights[n].numel() for n in moving]

    def loss(w: torch.Tensor) -> torch.Tensor:
        pieces = {n: part.view_as(weights[n]) for n, part in zip(moving, w.split(sizes), strict=True)}
        return nn.functional.cross_entropy(functional_call(net, {**weights, **pieces}, (images,)), data.labels)

    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            dense = torch.autograd.functional.hessian(loss, torch.cat([weights[n].flatten() for n in moving]))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert found.arrays["eigenvalues"][0] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-4)


@pytest.fixture
def regression() -> tuple[str, ...]:
    return ("--model", "nets.py:regressor", "--data", "nets.py:angles", "--loss", "nets.py:absolute", "--eps", "0.05")


def test_a_regression_with_a_loss_of_ones_own(regression: tuple[str, ...]) -> None:
    one = "regressor1.pth"
    curved = result_of("hessian", one, *regression, "--top", "2", out="h.h5")
    assert np.isnan(curved.attrs["error_rate"])
    assert curved.attrs["loss_function"] == "nets.py:absolute"
    images, targets = foreign_nets.angles(train=True)
    net = foreign_nets.regressor()
    net.load_state_dict(torch.load(one, weights_only=True)["model"])
    clean = foreign_nets.absolute(net(images), targets).mean().item()
    flat = result_of(
        "surface", one, *regression[:-1], "0,0.05", "--dirs", "random", "--grid", "3x2", "--range", "0.2", out="s.h5"
    )
    np.testing.assert_allclose(flat.arrays["centre_loss"], [clean, curved.attrs["loss"]], rtol=1e-5)
    assert curved.attrs["loss"] > clean
    way = result_of(
        "connect", one, "regressor2.pth", *regression, "--epochs", "20", "--lr", "0.05", "--points", "11", out="c.h5"
    )
    # The curve learns the loss that was asked for: its middle is no worse than the line's.
    assert way.arrays["loss"][0, 5] < way.arrays["line_loss"][0, 5]
    done = landscape("plot", "s.h5"), landscape("plot", "c.h5"), landscape("plot", "h.h5"), landscape("info", "s.h5")
    assert [one.code for one in done] == [0, 0, 0, 0], done
    assert "type --loss nets.py:absolute" in landscape("recheck", "h.h5", *regression[:4]).err
    traced = result_of("traces", one, "regressor2.pth", *regression, out="t.h5")
    assert traced.arrays["loss"][0] == pytest.approx(curved.attrs["loss"], rel=1e-5)
    turned = result_of("scattering", one, *regression, "--radii", "0.1", "--per-example", "1", out="r.h5")
    assert turned.attrs["centre_loss"] == pytest.approx(curved.attrs["loss"], rel=1e-5)
    judged = result_of("evaluate", one, *regression, "--split", "train", "--attacks", "clean,pgd10", out="e.h5")
    np.testing.assert_allclose(judged.arrays["loss"][0], [clean, curved.attrs["loss"]], rtol=1e-5)
    told = landscape("plot", "e.h5").code, landscape("info", "e.h5").code
    assert told == (0, 0)
    rechecked = landscape("recheck", *(f"{name}.h5" for name in "hscter"), *regression[:6], "--sample", "1")
    assert rechecked.code == 0 and rechecked.out.count("PASS: ") == 6, rechecked


def test_a_regression_is_trained_and_its_loss_is_known_from_then_on() -> None:
    brought = ("--model", "nets.py:regressor", "--data", "nets.py:angles")
    how = ("--eps", "0.02", "--epochs", "2", "--batch-size", "8", "--attack", "pgd:steps=2,rel_step=0.5")
    more = ("--test-every", "3", "--holdout", "4", "--keep-best", "--trace", "cosine,lambda1")
    done = landscape("train", *brought, "--loss", "nets.py:absolute", *how, *more, "--out", "own.pt")
    assert done.code == 0, done
    assert done.out.rstrip().endswith("--loss nets.py:absolute") and "loss of own.pt" in done.out
    rows = read_result("own.traces.h5")
    assert np.isnan(rows.arrays["error_rate"]).all() and np.isfinite(rows.arrays["loss"]).all()
    assert np.isnan(rows.arrays["test/clean_error_rate"]).all()
    asked = landscape("hessian", "own.pt", *brought)
    assert asked.code == 2 and "type --loss nets.py:absolute, or --loss cross_entropy" in asked.err
    assert landscape("recheck", "own.traces.h5", *brought, "--loss", "nets.py:absolute").code == 0
    examined = landscape("doctor", "own.pt", *brought, "--loss", "nets.py:absolute")
    assert examined.code == 0 and "robust test loss" in examined.out and examined.out.count("claimed") == 4
    # A loss of ours goes by its name, and is taken from the checkpoint.
    assert landscape("train", *brought, "--loss", "squared_error", *how, "--out", "named.pt").code == 0
    found = result_of("evaluate", "named.pt", *brought, "--attacks", "clean", out="e.h5")
    final = read_checkpoint("named.pt").training["final"]
    assert found.arrays["loss"][0, 0] == pytest.approx(final["clean_test_loss"], rel=1e-6)
    assert math.isnan(final["clean_test_error"]) and not final["collapsed"]
    assert landscape("recheck", "e.h5", *brought).code == 0


def test_another_loss_is_another_result(regression: tuple[str, ...]) -> None:
    words = ("hessian", "regressor1.pth", *regression, "--top", "1")
    assert landscape(*words).code == 0
    assert landscape(*(word.replace("nets.py:absolute", "squared_error") for word in words)).code == 0
    assert len(list(Path("results").glob("*.h5"))) == 2
    with Path("nets.py").open("a") as code:
        code.write("\n# edited\n")
    done = landscape(*words, "--out", next(iter(sorted(Path("results").glob("*.h5")))))
    assert done.code == 1
    assert "other settings" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "nets.py:two_outputs", "--data", "mine.npz"), "gives a tuple for one image; wanted one tensor"),
        (
            ("--model", "nets.py:always_dropping", "--data", "mine.npz"),
            "gives another output at each call; look for dro",
        ),
        (("--model", "nets.py:regressor", "--data", "nets.py:angles"), "(numbers need --loss)"),
        (("--model", "nets.py:regressor", "--data", "nets.py:angles", "--loss", "nets.py:averaged"), "one value per"),
        (
            ("--model", "nets.py:regressor", "--data", "nets.py:angles", "--loss", "squared"),
            "did you mean squared_error",
        ),
        (("--model", "nets.py:regressor", "--data", "nets.py:angles", "--loss", "nets.py:none"), "no callable 'none'"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_sentence(words: tuple[str, ...], told: str) -> None:
    code = "regressor1.pth"
    if "angles" not in " ".join(words):
        code = "flat.pt"
        torch.save({"1.weight": torch.ones(10, 64), "1.bias": torch.zeros(10)}, code)
    done = landscape("hessian", code, *words, "--eps", "0")
    assert done.code in (1, 2)
    assert told in done.err
    assert len(done.err.strip().splitlines()) <= 4  # click's own two lines of usage, and the sentence


def test_the_choice_among_several_nets_is_printed_and_kept_apart() -> None:
    state = foreign_nets.resnet().state_dict()
    averaged = {name: value * 0.9 for name, value in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, "both.pt")
    words = ("hessian", "both.pt", "--model", "nets.py:resnet", *FEW, "--top", "1", "--tol", "0.1")
    first = landscape(*words)
    assert "weights under 'state_dict'; the file also holds state_dict_ema, which --key takes" in first.err
    second = landscape(*words, "--key", "state_dict_ema")
    assert (first.code, second.code) == (0, 0)
    losses = {read_result(path, only=()).attrs["loss"] for path in Path("results").glob("*.h5")}
    assert len(losses) == 2
    assert landscape(*words, "--quiet").err == ""
