"""The benchmark of training runs and judges rightly; how fast anything is, no test asks."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def training():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))  # as `python benchmarks/training.py` finds its files
        yield importlib.import_module("training")


def test_a_quick_run_prints_its_table_and_writes_what_it_measured(training, capsys, tmp_path):
    out = tmp_path / "training.json"
    training.main(["--quick", "--rounds", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    (result,) = json.loads(out.read_text(encoding="utf-8"))["results"]
    names = {training.PUBLISHED, training.FLOAT32, *([training.BF16] if training.has_bf16() else [])}
    assert set(result["seconds"]) == set(result["ratios"]) == names
    assert result["ratios"][training.PUBLISHED] == 1
    # The same starts, and in float32 the same vertices: losses agree to rounding.
    assert result["losses_apart"][training.FLOAT32] < 1e-5
    assert result["losses_apart"][training.BF16] < training.MOST_LOSS_APART
    for name in names:
        assert f"  {name}" in printed


def test_the_floor_is_the_arithmetic_counted_by_hand(training):
    # One affine layer D -> K on N examples: forward, weight gradient and input gradient take 2NDK each.
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    floor = training.flop_floor(net, torch.rand(4, 3, 2, 2), torch.arange(4), 10)
    assert floor == pytest.approx((10 * 2 + 2) / (10 * 3 + 2))


def test_targets_are_met_or_not_by_the_numbers_shown(training):
    measured = training.Measured(
        "c", "m", "d", 0.1, 8, 3,
        seconds={training.PUBLISHED: 2.0, training.FLOAT32: 1.2, training.BF16: 1.0},
        flop_floor=0.69,
        losses={training.PUBLISHED: 1.0, training.FLOAT32: 1.0, training.BF16: 0.98},
        added=training.Added(period=6, step=1.2, row=[0.03, 0.036, 0.5], halves=[0.18, 0.2, 0.1], within=0.03),
    )  # fmt: skip
    shown = "\n".join(measured.lines())
    assert "ours, float32: time over the published way's: 0.6, wanted <= 0.65 (met)" in shown
    assert "ours, bf16: time over the published way's: 0.5, wanted <= 0.4 (not met)" in shown
    assert "ours, bf16: adversarial loss apart: 0.02, wanted <= 0.01 (not met)" in shown
    assert "time that the traces add: 0.05, wanted <= 0.03 (not met)" in shown  # (5 x 3 % + 15 %) / 6
    assert "3.00 % by a row (median of 3 pairs), 15.00 % by each 6th, with half-batches" in shown
    assert "in the recorder's own calls 2.50 %" in shown
