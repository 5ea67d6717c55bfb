"""`landscape hessian` end to end: what it writes, what it says, and what it does when it is repeated."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.objective import Objective
from landscape.results import read_result
from tests.commands.runner import SMALL, contents, landscape

NETS = """
import torch
from torch import nn

def net(slope=1.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))
"""


def test_it_writes_a_valid_file_and_says_what_it_is(tiny: Path) -> None:
    done = landscape("hessian", tiny, *SMALL)
    assert done.code == 0
    (path,) = Path("results").iterdir()
    assert re.fullmatch(r"tiny\.hessian-[0-9a-f]{6}\.h5", path.name)
    result = read_result(path)
    assert result.attrs["status"] == "complete"
    assert (result.attrs["eps"], result.attrs["norm"], result.attrs["n_examples"]) == (0.02, "linf", 64)
    assert (result.attrs["adversary"], result.attrs["batchnorm"], result.attrs["split"]) == ("frozen", "none", "train")
    lines = done.out.splitlines()
    assert lines[0] == (
        "tiny: linf eps 0.02 (trained at linf 0.02), 64 of 1,437 train examples of digits, "
        "attack pgd:steps=10,rel_step=0.25,restarts=1, adversary frozen at the weights, BatchNorm none"
    )
    table = [line.split() for line in lines if re.match(r" +\d ", line)]
    assert [float(row[1]) for row in table] == pytest.approx(result.arrays["eigenvalues"], rel=1e-4)
    assert all(row[-1] == "ok" for row in table)
    assert lines[-2:] == [f"wrote {path}", f"next: landscape plot {path}"]
    assert done.err == ""


def test_repeated_it_prints_the_same_table_and_computes_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = landscape("hessian", tiny, *SMALL)
    (path,) = Path("results").iterdir()
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(Objective, "freeze", None)
    again = landscape("hessian", tiny, *SMALL, "--batch-size", "7")  # which changes no number, and so not the name
    assert again.code == 0
    assert again.out == first.out.replace(f"wrote {path}", f"found {path}")
    assert path.stat().st_mtime_ns == before


def test_other_settings_have_another_name(tiny: Path) -> None:
    for words in ([], ["--seed", "1"], ["--eps", "0.03"], ["--norm", "l2", "--eps", "0.02"], ["--no-guard"]):
        landscape("hessian", tiny, "--top", "1", "--n-examples", "16", "-q", *words)
    assert len(list(Path("results").iterdir())) == 5


def test_an_out_of_other_settings_is_kept_unless_overwritten(tiny: Path, measured: Path) -> None:
    out = Path(shutil.copy(measured, "mine.h5"))
    before = out.read_bytes()
    refused = landscape("hessian", tiny, *SMALL, "--seed", "1", "--out", out)
    assert refused.code == 1
    assert refused.err == (
        "Error: mine.h5 holds a result of other settings (seed 0 there, 1 asked); give --overwrite, or another --out\n"
    )
    assert out.read_bytes() == before
    done = landscape("hessian", tiny, *SMALL, "--seed", "1", "--out", out, "--overwrite")
    assert done.code == 0
    assert read_result(out).attrs["seed"] == 1


def test_several_checkpoints_give_a_file_each(tiny: Path) -> None:
    start = tiny.with_name("start.pt")
    shutil.copy(tiny, start)
    done = landscape("hessian", tiny, "digits/eps0.1", "--top", "1", "--n-examples", "16")
    assert done.code == 0
    names = sorted(path.name.partition(".hessian-")[0] for path in Path("results").iterdir())
    assert names == ["digits-eps0.1", "tiny"]
    said = done.out.splitlines()[-1].removeprefix("next: landscape plot ").split()
    assert sorted(said) == sorted(str(path) for path in Path("results").iterdir())


def test_a_mistyped_checkpoint_is_found_before_the_others_are_measured(tiny: Path) -> None:
    done = landscape("hessian", tiny, "digits/eps0.01", *SMALL)
    assert done.code == 1
    assert "did you mean" in done.err
    assert not Path("results").exists()


def test_several_checkpoints_have_no_single_out(tiny: Path) -> None:
    done = landscape("hessian", tiny, tiny, "--out", "x.h5")
    assert (done.code, done.out) == (2, "")
    assert done.err == "Error: --out names one file, and 2 checkpoints came; leave it out, or give one\n"


def test_what_has_not_converged_is_written_and_exits_with_3(tiny: Path) -> None:
    words = ["hessian", tiny, "--top", "20", "--n-examples", "64", "--max-products", "21"]
    done = landscape(*words)
    assert done.code == 3
    (path,) = Path("results").iterdir()
    assert read_result(path).attrs["status"] == "not-converged"
    assert "try: more --max-products, a larger --tol, or a smaller --top" in done.out.splitlines()
    again = landscape(*words)
    assert again.code == 3
    assert again.out == done.out.replace("wrote", "found")
    assert landscape(*words, "-q").code == 3


def test_the_power_method_finds_by_magnitude(tiny: Path) -> None:
    done = landscape("hessian", tiny, *SMALL, "--method", "power", "--out", "p.h5")
    result = read_result("p.h5")
    assert (result.attrs["method"], result.attrs["which"]) == ("power", "lm")
    assert np.all(np.diff(np.abs(result.arrays["eigenvalues"])) <= 0)
    assert done.code == (0 if result.attrs["status"] == "complete" else 3)
    assert "guard not run" in done.out


def test_a_bare_state_dict_is_measured_as_the_options_say() -> None:
    Path("nets.py").write_text(NETS)
    scope: dict[str, object] = {}
    exec(NETS, scope)
    with torch.random.fork_rng():
        torch.save(scope["net"]().state_dict(), "bare.pt")  # type: ignore[operator]
    rng = np.random.default_rng(0)
    np.savez("x.npz", images=rng.random((40, 8, 8), dtype=np.float32), labels=np.arange(40) % 10)
    words = ["hessian", "bare.pt", "--model", "nets.py:net", "--data", "x.npz", "--top", "2"]
    done = landscape(*words, "--eps", "4/255")
    assert done.code == 0
    assert done.out.startswith("bare: linf eps 4/255, 40 of 40 train examples of x.npz, ")
    (path,) = Path("results").iterdir()
    result = read_result(path)
    assert (result.attrs["model"], result.attrs["data"]) == ("nets.py:net", "x.npz")
    assert np.isnan(result.attrs["train_eps"])
    unknown = landscape(*words)
    assert unknown.code == 2
    assert unknown.err == (
        "Error: bare does not say at which eps it was trained; give --eps, such as --eps 8/255 (or --eps 0)\n"
    )
    # The same spec with other code behind it is another net.
    Path("nets.py").write_text(NETS.replace("nn.Tanh()", "nn.Sigmoid()"))
    landscape(*words, "--eps", "4/255")
    assert len(list(Path("results").iterdir())) == 2


@pytest.mark.parametrize("name", ["net", "made"])
def test_edited_code_of_a_module_is_another_net(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = NETS + "\nimport functools\nmade = functools.partial(net, 1.0)\n"
    Path("nets_of_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "nets_of_a_test", raising=False)
    with torch.random.fork_rng():
        torch.save(importlib.import_module("nets_of_a_test").net().state_dict(), "bare.pt")
    words = ["hessian", "bare.pt", "--model", f"nets_of_a_test:{name}", "--data", "digits", "--eps", "0"]
    words += ["--top", "1", "--n-examples", "16", "-q"]
    for _ in range(2):
        assert landscape(*words).code == 0
        assert len(list(Path("results").iterdir())) == 1
    Path("nets_of_a_test.py").write_text(code + "# edited\n")
    assert landscape(*words).code == 0
    assert len(list(Path("results").iterdir())) == 2


@pytest.mark.parametrize("word", ["--guard", "--no-guard"])
def test_the_power_method_has_no_guard(tiny: Path, word: str) -> None:
    done = landscape("hessian", tiny, *SMALL, "--method", "power", word)
    assert done.code == 2 and "the power method has no guard; leave --guard and --no-guard out" in done.err


def test_without_an_adversary_the_line_says_so(tiny: Path) -> None:
    done = landscape("hessian", tiny, "--top", "1", "--n-examples", "16", "--eps", "0")
    assert "linf eps 0 (trained at linf 0.02), 16 of 1,437 train examples of digits, no attack, BatchNorm" in done.out


def test_the_radius_of_training_is_of_its_norm(tiny: Path) -> None:
    words = ["hessian", tiny, "--top", "1", "--n-examples", "16", "--norm", "l2"]
    done = landscape(*words)
    assert done.code == 2 and not Path("results").exists()
    assert done.err == ("Error: tiny was trained in linf (at eps 0.02), which says nothing of l2; give --eps for l2\n")
    assert "tiny: l2 eps 0.5 (trained at linf 0.02), " in landscape(*words, "--eps", "0.5").out
    assert "digits-eps0: l2 eps 0 (trained at" in landscape("hessian", "digits/eps0", *words[2:]).out.replace("/", "-")


def test_quiet_says_nothing_and_verbose_where_time_and_memory_went(tiny: Path) -> None:
    quiet = landscape("hessian", tiny, *SMALL, "-q", "--out", "q.h5")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    told = landscape("hessian", tiny, *SMALL, "-v", "--out", "v.h5")
    lines = [re.sub(r"\d+\.\d s", "TIME", line) for line in told.err.splitlines()]
    assert lines == [
        f"{tiny}: attack: 64 of 64 in TIME",
        f"{tiny}: products: 1 micro-batches of 64 examples, 1 kept",
        f"{tiny}: eigenpairs: 3 of 3 in TIME",
        f"{tiny}: evidence: 3 of 3 in TIME",
    ]
    assert re.search(r"^spent \d+ products \(\d+ of them on the guard\), 3 to check; .* MiB$", told.out, re.MULTILINE)


def test_memory_that_runs_out_halves_the_micro_batch_and_the_run_goes_on(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack and the losses make do with 16 examples at a time, the products with 8."""
    first_backward, adversarial = Objective.first_backward, Objective.adversarial
    seen: list[int] = []

    def check(n: int, most: int) -> None:
        seen.append(n)
        if n > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    def backward(self, w, batch, *, create_graph):  # type: ignore[no-untyped-def]
        check(len(batch.labels), 8 if create_graph else 16)
        return first_backward(self, w, batch, create_graph=create_graph)

    def attacked(self, batch, network):  # type: ignore[no-untyped-def]
        check(len(batch.labels), 16)
        return adversarial(self, batch, network)

    monkeypatch.setattr(Objective, "first_backward", backward)
    monkeypatch.setattr(Objective, "adversarial", attacked)
    done = landscape("hessian", tiny, *SMALL, "-v", "--out", "x.h5")
    assert done.code == 0, done.err
    assert max(seen) == 64
    assert "memory ran out; going on with 16 examples at a time" in done.err
    assert "memory ran out; going on with 8 micro-batches of 8 examples" in done.err
    ours, theirs = read_result("x.h5").arrays["eigenvalues"], read_result(measured).arrays["eigenvalues"]
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_no_file_of_an_unfinished_run_is_left(tiny: Path) -> None:
    landscape("hessian", tiny, *SMALL, "--out", "folder/x.h5")
    assert set(contents(Path())) == {Path("tiny.pt"), Path("folder/x.h5")}


def test_a_density_is_told_stored_and_drawn(tiny: Path, measured: Path) -> None:
    done = landscape("hessian", tiny, *SMALL, "--density", "--probes", "3", "--out", "d.h5")
    assert done.code == 0
    result = read_result("d.h5")
    attrs = result.attrs
    assert f"trace {attrs['trace']:.5g} ({attrs['trace_low']:.5g} to {attrs['trace_high']:.5g}), Frobenius" in done.out
    assert "95 % over 3 probes" in done.out and attrs["density_probes"] == 3
    assert np.array_equal(result.eigenvalues, read_result(measured).eigenvalues)
    assert landscape("plot", "d.h5").code == 0
    assert landscape("hessian", tiny, *SMALL, "--density", "--probes", "3", "--out", "d.h5").out == done.out.replace(
        "wrote d.h5", "found d.h5"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--density", "--probes", "0"), "0 is not in the range x>=2"),
        (("--density", "--method", "power"), "leave --method power out"),
        (("--probes", "3"), "give --density with it"),
    ],
)
def test_densities_that_cannot_be_meant(tiny: Path, words: tuple[str, ...], says: str) -> None:
    done = landscape("hessian", tiny, *SMALL, *words)
    assert done.code == 2 and says in done.err and not Path("results").exists()


def test_a_block_and_a_sweep_over_the_layers(tiny: Path) -> None:
    done = landscape("hessian", tiny, *SMALL, "--params", "conv1.*", "--out", "block.h5")
    assert done.code == 0 and ", block conv1.*\n" in done.out
    block = read_result("block.h5")
    assert block.attrs["params"] == "conv1.*"
    swept = landscape("hessian", tiny, "--top", "1", "--n-examples", "64", "--per-layer")
    assert swept.code == 0
    results = [read_result(path) for path in Path("results").iterdir()]
    assert len(results) == 4
    (conv1,) = (result for result in results if result.attrs["params"] == "conv1.weight,conv1.bias")
    assert conv1.eigenvalues[0] == pytest.approx(block.eigenvalues[0], rel=1e-4)
    rows = [line.split() for line in swept.out.split("layer by layer")[1].splitlines()]
    assert [row[0] for row in rows if "%" in row] == ["conv1", "conv2", "fc1", "fc2"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--params", "conv3.*"), "no trainable parameter is called 'conv3.*'; did you mean conv"),
        (("--params", "conv1.*", "--per-layer"), "give one of the two"),
        (("--per-layer", "--out", "x.h5"), "one for each layer; leave it out"),
    ],
)
def test_blocks_that_cannot_be_meant(tiny: Path, words: tuple[str, ...], says: str) -> None:
    done = landscape("hessian", tiny, "--n-examples", "64", *words)
    assert done.code == 2 and says in done.err and not Path("results").exists()


def test_the_weight_decay_of_training_or_another(tiny: Path) -> None:
    # The net was trained without: --weight-decay training is then no other measurement, and finds the same file.
    plain = landscape("hessian", tiny, *SMALL)
    same = landscape("hessian", tiny, *SMALL, "--weight-decay", "training")
    assert same.out == plain.out.replace("wrote ", "found ")
    decayed = landscape("hessian", tiny, *SMALL, "--weight-decay", "0.5", "--out", "w.h5")
    assert decayed.code == 0 and ", weight decay 0.5 in the loss\n" in decayed.out
    (path,) = Path("results").iterdir()
    result, before = read_result("w.h5"), read_result(path)
    assert result.eigenvalues == pytest.approx(before.eigenvalues + 0.5, rel=1e-3)
    assert result.attrs["weight_decay"] == 0.5


def test_a_weight_decay_that_nobody_knows(tiny: Path) -> None:
    stored = torch.load(tiny, weights_only=True)
    del stored["training"]["weight_decay"]
    torch.save(stored, "unknown.pt")
    done = landscape("hessian", "unknown.pt", *SMALL, "--weight-decay", "training")
    assert done.code == 2 and "give a number, such as --weight-decay 5e-4" in done.err
    done = landscape("hessian", tiny, "--weight-decay", "-1")
    assert done.code == 2 and "write 0 or more, such as 5e-4, or training" in done.err
