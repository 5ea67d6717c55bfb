"""The benchmark of densities compares like with like; which estimator is the better one, no test asks."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
SPECTRUM = np.concatenate([[9.0, 5.0, -4.0], np.linspace(-1, 1, 37)])


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))  # as `python benchmarks/density.py` finds them
        yield [importlib.import_module(name) for name in ("estimators", "density", "coverage_of")]


def test_everyone_is_exact_where_one_run_spans_the_space(modules: list[ModuleType]) -> None:
    estimators, density, _ = modules
    matrix, n = density._turned(SPECTRUM), len(SPECTRUM)
    trace, squares = SPECTRUM.sum(), (SPECTRUM**2).sum()
    entire = estimators.run(estimators.ours(None, probes=2, steps=1, search=n), matrix, 0)
    assert entire.trace == pytest.approx(trace, rel=1e-9) and entire.squares == pytest.approx(squares, rel=1e-9)
    assert estimators.transport(entire.nodes, entire.weights, SPECTRUM) <= 1e-9
    many = {"PyHessian": estimators.pyhessian_density(8, 60), "trace": estimators.pyhessian_trace(400)}
    if estimators.HAS_CURVLINOPS:
        many |= {"curvlinops": estimators.curvlinops_quadrature(8, 60)}
        many |= {
            name: estimators.curvlinops_trace(name, 39)
            for name in ("hutchinson_trace", "hutchpp_trace", "xtrace", "hutchinson_squared_fro")
        }
    for name, estimator in many.items():
        found = estimators.run(estimator, matrix, 0)
        assert found.products > 35, name
        if found.trace is not None:
            assert abs(found.trace - trace) <= 0.25 * np.abs(SPECTRUM).sum(), name
        if found.nodes is not None:
            assert found.weights.sum() == pytest.approx(1, rel=1e-4), name
            assert estimators.transport(found.nodes, found.weights, SPECTRUM) <= 0.2, name
    with pytest.raises(RuntimeError):
        torch.eig(matrix)  # gone again


def test_the_tables_charge_the_eigenpairs(modules: list[ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    _, density, _ = modules
    density.compare(density._matrix("made up", density._turned(SPECTRUM)), 1)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ours, 15 + 8 x 6")]
    assert len(rows) == 1 and int(rows[0].split("|")[2]) > 20 + 20  # what the pairs and their check took at the least


def test_an_interval_of_nothing_unknown_holds(modules: list[ModuleType]) -> None:
    _, _, coverage = modules
    assert coverage.holds("zero", 0, probes=2, search=0) == (True, True)
    held = [coverage.holds("normal bulk", seed, probes=4, search=2, n=120) for seed in range(12)]
    assert np.mean(held) >= 0.75  # 95 % of 24, less five binomial deviations
