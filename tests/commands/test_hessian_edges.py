"""`landscape hessian` at the edges: a Hessian of zero, a block of one parameter, and what power makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.results import read_result
from tests.commands.runner import landscape

NETS = """
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.tensor([scale]))

    def forward(self, x):
        return self.scale * self.linear(x.flatten(1))

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return 0 * self.linear(x.flatten(1))

def scaled():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Scaled(1.5)

def flat(): return Flat()
"""


def measure(net: str, *words: str) -> tuple[int, str, str]:
    Path("nets.py").write_text(NETS)
    scope: dict[str, object] = {}
    exec(NETS, scope)
    torch.save(scope[net]().state_dict(), f"{net}.pt")  # type: ignore[operator]
    done = landscape(
        "hessian", f"{net}.pt", "--model", f"nets.py:{net}", "--data", "digits", "--n-examples", "30", *words
    )
    return done.code, done.out, done.err


@pytest.mark.parametrize("per_layer", [(), ("--per-layer",)])
@pytest.mark.parametrize("density", [(), ("--density",)])
def test_a_hessian_of_exactly_zero(per_layer: tuple[str, ...], density: tuple[str, ...]) -> None:
    code, out, err = measure("flat", "--eps", "0.1", "--top", "3", *per_layer, *density)
    assert (code, err) == (0, "") and "caution: constant classifier" in out
    (path,) = Path("results").iterdir()
    result = read_result(path)
    assert np.array_equal(result.eigenvalues, np.zeros(3)) and np.array_equal(result.eigenvalue_se, np.zeros(3))
    assert result.attrs["guard_passed"] and result.attrs["collapsed"]
    if density:
        assert "trace 0 (0 to 0), Frobenius norm 0 (0 to 0)" in out
        assert np.isfinite(result.arrays["density/values"]).all()
    assert landscape("plot", path).code == 0


def test_a_sweep_takes_no_more_pairs_than_a_layer_has_parameters() -> None:
    code, out, _ = measure("scaled", "--eps", "0", "--top", "3", "--per-layer", "--density")
    assert code == 0
    results = {read_result(path).attrs["params"]: read_result(path) for path in Path("results").iterdir()}
    one, many = results["scale"], results["linear.weight,linear.bias"]
    assert one.eigenvalues.shape == (1,) and many.eigenvalues.shape == (3,)
    # One parameter: its eigenvalue is the trace, and the outputs being linear in it, all of it is Gauss-Newton.
    assert one.trace == one.trace_low == one.trace_high == one.frobenius == one.eigenvalues[0]
    assert one.gauss_newton[0] == pytest.approx(one.eigenvalues[0], rel=1e-5)
    row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["scale"])
    assert row[1] == "1" and float(row[2]) == pytest.approx(one.eigenvalues[0], rel=1e-4)


def test_a_block_of_one_parameter_has_no_three_pairs() -> None:
    code, _, err = measure("scaled", "--eps", "0", "--top", "3", "--params", "scale")
    assert code == 2 and err == "Error: top = 3 of a Hessian that is 1 x 1; give --top 1\n"


def test_power_says_that_it_finds_nothing_where_the_product_is_zero() -> None:
    code, _, err = measure("flat", "--eps", "0", "--top", "2", "--method", "power")
    assert code == 1 and not list(Path("results").iterdir())
    assert err == "Error: PyHessian returned a vector of length zero, as where Hv = 0; try --method lanczos\n"


@pytest.mark.parametrize("probes", ["0", "1", "-3", "two"])
def test_probes_that_make_no_interval(probes: str) -> None:
    code, _, err = measure("flat", "--eps", "0", "--density", "--probes", probes)
    assert code == 2 and f"Invalid value for '--probes': {probes.strip()}" in err.replace("'two'", "two")
    assert not Path("results").exists()


@pytest.mark.parametrize("density", [(), ("--density",)])
def test_a_pattern_that_matches_nothing_names_what_is_near(density: tuple[str, ...]) -> None:
    code, _, err = measure("scaled", "--eps", "0", "--params", "lienar.*", *density)
    assert code == 2 and not Path("results").exists()
    assert err.startswith("Error: no trainable parameter is called 'lienar.*'; did you mean linear.* or linear.bias")


def test_eigenvalues_by_the_number_of_examples() -> None:
    words = ("--eps", "0", "--top", "2", "--sizes", "20,10", "--out", "s.h5")
    code, out, _ = measure("scaled", *words)
    assert code == 0
    values = read_result(Path("s.h5")).arrays["by_size/eigenvalues"]
    table = out.split("by number of examples")[1].splitlines()
    rows = [line.split() for line in table if line.split()[:1] in (["10"], ["20"], ["30"])]
    assert [float(row[1]) for row in rows] == pytest.approx(values[:, 0], rel=1e-4)
    assert measure("scaled", *words)[1] == out.replace("wrote s.h5", "found s.h5")
    code, _, err = measure("scaled", "--eps", "0", "--sizes", "10,30")
    assert (code, err) == (
        2,
        "Error: sizes = 10,30; wanted whole numbers from 2 to 29, below the 30 examples\n",
    )
