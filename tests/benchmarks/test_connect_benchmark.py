"""benchmarks/connect.py: both ways find the same losses at the same places; how fast, no test asks."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from landscape.checkpoint import save_checkpoint
from landscape.models import build_model

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("connect_benchmark", ROOT / "benchmarks" / "connect.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["connect_benchmark"] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


def test_a_quick_run_prints_ratio_and_values_and_both_ways_agree(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    benchmark.main(["--quick", "--out", str(tmp_path / "found.json")])
    said = capsys.readouterr().out
    assert "against published: " in said and "(wanted 2)" in said
    (found,) = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [len(found["losses"][way]) for way in ("ours", "published")] == [3, 3]
    assert found["apart"] < 1  # standard errors of 20 examples


def test_with_batchnorm_the_repaired_way_finds_our_losses_and_the_published_way_does_not(
    benchmark: ModuleType, tmp_path: Path
) -> None:
    pair = []
    for seed in (0, 1):
        torch.manual_seed(seed)  # torch's own initialisation draws from there
        spec = "resnet18:width=1,input=1x8x8,classes=10"
        net, _ = build_model(spec)
        save_checkpoint(tmp_path / f"{seed}.pt", net, model_spec=spec, data_spec="digits", training={})
        pair.append(str(tmp_path / f"{seed}.pt"))
    measured = benchmark.measure(",".join(pair), n=64, points=2, eps=0.02, data_dir=None)
    assert measured.peer == "repaired" and list(measured.losses) == ["ours", "published", "repaired"]
    assert measured.apart < 1  # standard errors of 64 examples
