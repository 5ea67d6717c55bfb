"""The file of a run's traces: whole, readable, told apart from a run that ended early; test rows on fixed examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from landscape.attacks import PGD, LinfBall
from landscape.checkpoint import load_model, read_checkpoint
from landscape.data import load_data
from landscape.errors import UsageError
from landscape.files import sha256_of
from landscape.results import describe, read_result
from landscape.training import Recipe, evaluate_error, run
from landscape.training.tracing import Tracing

RECIPE = Recipe(
    0.03, epochs=2, batch_size=512, lr=5e-3, eps_schedule="linear", schedule_by="batch", attack="pgd:steps=1"
)


def start(out, recipe=RECIPE, **settings):
    return run(recipe, **{"model": "mlp:hidden=4", "data": "digits", "out": out, **settings})


def test_a_run_leaves_its_traces(tmp_path):
    done = start(tmp_path / "net.pt", save_epochs=[1])
    traces = read_result(tmp_path / "net.traces.h5")
    attrs = traces.attrs
    assert (traces.kind, attrs["status"], attrs["measured"]) == ("traces", "complete", "mini-batches")
    assert attrs["checkpoint_sha256"] == sha256_of(tmp_path / "net.pt")
    assert (attrs["steps_per_epoch"], attrs["batch_size"], attrs["n_examples"]) == (3, 512, 1437)
    assert (attrs["train_eps"], attrs["adversary"], attrs["batchnorm"]) == (0.03, "reattacked", "none")
    assert attrs["training"]["final"] == done.training["final"]
    assert "history" not in attrs["training"]
    np.testing.assert_allclose(traces.eps, np.minimum(0.06 * np.arange(6) / 6, 0.03))
    np.testing.assert_array_equal(traces.learning_rate, 5e-3)

    weights = [load_model(tmp_path / name) for name in ("net-epoch0.pt", "net-epoch1.pt")]
    initial, middle = (torch.cat([p.detach().reshape(-1) for p in net.parameters()]) for net in weights)
    assert traces.distance_from_init[3] == pytest.approx((middle - initial).norm().item(), rel=1e-5)
    assert attrs["n_parameters"] == len(initial)
    # The history's means are over an epoch's examples, the rows' over those of a batch.
    sizes = np.array([512, 512, 413])
    losses = [(sizes * part).sum() / 1437 for part in traces.loss.reshape(2, 3)]
    assert losses == pytest.approx([record["loss"] for record in done.training["history"]], rel=1e-6)
    assert dict(describe(tmp_path / "net.traces.h5"))["status"] == "complete"


def test_test_rows_are_of_fixed_examples_at_the_current_and_at_the_target_eps(tmp_path):
    start(tmp_path / "net.pt", tracing=Tracing(test_every=3, test_examples=100), save_epochs=[1])
    traces = read_result(tmp_path / "net.traces.h5")
    np.testing.assert_array_equal(traces.arrays["test/step"], [0, 3, 6])
    np.testing.assert_allclose(traces.arrays["test/eps"], [0, 0.03, 0.03])
    net, data = load_model(tmp_path / "net-epoch1.pt"), load_data("digits", split="test")
    middle = {name.removeprefix("test/"): a[1] for name, a in traces.arrays.items() if name.startswith("test/")}
    clean = evaluate_error(net, data, n=100, seed=0)
    robust = evaluate_error(net, data, PGD(LinfBall(0.03)), n=100, seed=0)
    assert (middle["clean_loss"], middle["clean_error_rate"]) == clean
    assert (middle["target_robust_loss"], middle["target_robust_error_rate"]) == robust
    first = {name: traces.arrays[f"test/{name}"][0] for name in ("robust_loss", "clean_loss", "target_robust_loss")}
    assert first["robust_loss"] == first["clean_loss"] < first["target_robust_loss"]
    assert traces.attrs["test_examples"] == 100
    assert (tmp_path / "net.pt").read_bytes() == start(tmp_path / "again.pt").paths[0].read_bytes()


def test_no_traces_where_none_are_asked_for(tmp_path):
    done = start(tmp_path / "net.pt", tracing=None)
    assert {path.name for path in tmp_path.iterdir()} == {"net.pt", "net-epoch0.pt"}
    assert [path.name for path in done.paths] == ["net.pt", "net-epoch0.pt"]


def test_traces_on_the_way_say_that_they_are_unfinished(tmp_path):
    seen = []

    def look(stage, done, total):
        if stage == "training" and done > 1:
            traces = read_result(tmp_path / "net.traces.h5")
            seen.append((traces.attrs["status"], len(traces.step)))

    start(tmp_path / "net.pt", progress=look, save_every=0)
    assert seen == [("partial", rows) for rows in range(1, 6)]


def test_test_rows_need_a_test_split(tmp_path):
    data = load_data("digits")
    np.savez(tmp_path / "own.npz", images=data.images[:300].numpy(), labels=data.labels[:300].numpy())
    with pytest.raises(UsageError, match=r"own.npz has no test split; leave --test-every out"):
        start(
            tmp_path / "net.pt",
            replace(RECIPE, batch_size=100),
            data=str(tmp_path / "own.npz"),
            tracing=Tracing(test_every=2),
        )
    assert not (tmp_path / "net-epoch0.pt").exists()


@pytest.mark.parametrize("settings", [{"every": 0}, {"halves": 0}, {"test_every": -1}, {"test_examples": 2.5}])
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(UsageError, match=f"{next(iter(settings))} = .* in the traces; give a whole number"):
        Tracing(**settings)


def test_a_run_whose_loss_turns_nan_leaves_the_rows_that_led_there(tmp_path):
    from landscape.errors import LandscapeError

    recipe = Recipe(0.0, epochs=3, optimizer="sgd", lr=1.0, lr_schedule="step", lr_drops=(1 / 3,), lr_factor=1e38)
    with pytest.raises(LandscapeError, match="in epoch 2, batch"):
        start(tmp_path / "net.pt", replace(recipe, batch_size=512))
    traces = read_result(tmp_path / "net.traces.h5")
    assert traces.attrs["status"] == "partial"
    assert np.isfinite(traces.loss[:4]).all() and not np.isfinite(traces.loss[-1])
    assert read_checkpoint(tmp_path / "net-epoch0.pt").training["epoch"] == 0
