"""benchmarks/evaluate.py: its contenders judge the same examples alike, and its table says so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from landscape.attacks import PGD, LinfBall

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_benchmark", ROOT / "benchmarks" / "evaluate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluate_benchmark"] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


def test_the_published_loop_and_ours_agree_on_every_example(benchmark: ModuleType) -> None:
    (case,) = benchmark.cases(48, quick=True)
    attack = PGD(LinfBall(case.eps), steps=20, rel_step=0.1, start="step", keep="last")
    wanted, found = benchmark.plain_loop(case, attack, 48), benchmark.ours(case, attack, 48)
    assert np.array_equal(wanted, found) and 0 < wanted.sum() < 48
    assert all(parameter.grad is None for parameter in case.model.parameters())


def test_the_table_says_how_many_agree(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "STEPS", 5)
    (case,) = benchmark.cases(16, quick=True)
    benchmark.report(case, 1, 16)
    said = capsys.readouterr().out
    assert said.count(" 16 of 16") == 5 and "PGD-100, the published loop" in said
