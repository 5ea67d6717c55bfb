"""A run from specs to files: what is written, what is refused, and the same bytes twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks import PGD, LinfBall
from landscape.checkpoint import load_model, read_checkpoint
from landscape.data import load_data
from landscape.errors import LandscapeError, UsageError
from landscape.streams import stream
from landscape.training import Recipe, evaluate_error, run

RECIPE = Recipe(0.02, epochs=2, batch_size=256, lr=5e-3, attack="pgd:steps=2,rel_step=0.5")


def start(out, recipe=RECIPE, **settings):
    return run(recipe, **{"model": "lenet:width=1", "data": "digits", "out": out, **settings})


def test_a_run_writes_checkpoints_that_rebuild_themselves(tmp_path):
    result = start(tmp_path / "net.pt", save_epochs=[1])
    assert [path.name for path in result.paths] == ["net.pt", "net-epoch0.pt", "net-epoch1.pt", "net.traces.h5"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in result.paths}

    last, first, middle = (read_checkpoint(path) for path in result.paths[:3])
    assert (last.model, last.data) == ("lenet:width=1,input=1x8x8,classes=10", "digits")
    assert [checkpoint.training["epoch"] for checkpoint in (first, middle, last)] == [0, 1, 2]
    assert last.training == result.training
    assert last.training["history"][:1] == middle.training["history"]
    assert first.training["final"] == middle.training["final"] == {}
    assert Recipe.from_dict(last.training) == RECIPE.resolved("digits")

    final = last.training["final"]
    json.dumps(final)
    assert (final["train_examples"], final["test_examples"], final["collapsed"]) == (1437, 360, False)
    assert final["clean_test_error"] <= final["robust_test_error"] <= 1
    assert final["clean_train_loss"] < final["robust_train_loss"]
    rebuilt = load_model(result.paths[0])
    assert not rebuilt.training
    wanted = (final["clean_test_loss"], final["clean_test_error"])
    assert evaluate_error(rebuilt, load_data("digits", split="test")) == wanted


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    start(tmp_path / "a" / "net.pt")
    start(tmp_path / "b" / "net.pt")
    for name in ("net.pt", "net-epoch0.pt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("there", ["net.pt", "net-epoch0.pt", "net-epoch2.pt"])
def test_existing_files_are_kept(tmp_path, there):
    (tmp_path / there).write_text("precious")
    calls = []
    with pytest.raises(LandscapeError, match="exists and is kept"):
        start(tmp_path / "net.pt", save_epochs=[2], progress=lambda *call: calls.append(call))
    assert calls == []
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_overwrite_replaces_them(tmp_path):
    (tmp_path / "net.pt").write_text("old")
    start(tmp_path / "net.pt", overwrite=True)
    assert read_checkpoint(tmp_path / "net.pt").training["epoch"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"out": "net"}, "NAME.pt"),
        ({"out": "runs/eps0.1"}, "NAME.pt"),
        ({"save_epochs": [3]}, "epochs 1 to 2"),
        ({"save_epochs": [-1]}, "epochs 1 to 2"),
    ],
)
def test_wrong_usage_is_said_before_any_work(settings, message):
    with pytest.raises(UsageError, match=message):
        start(**{"out": "net.pt", **settings})


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "net.pt").mkdir()
    with pytest.raises(LandscapeError, match="is a folder"):
        start(tmp_path / "net.pt", overwrite=True)


def test_data_without_a_test_split_leaves_its_errors_uncomputed(tmp_path):
    data = load_data("digits")
    np.savez(tmp_path / "own.npz", images=data.images[:300].numpy(), labels=data.labels[:300].numpy())
    result = start(tmp_path / "net.pt", data=str(tmp_path / "own.npz"))
    final = result.training["final"]
    assert (final["train_examples"], final["test_examples"]) == (300, 0)
    assert math.isnan(final["clean_test_error"])
    assert math.isnan(final["robust_test_loss"])
    assert not math.isnan(final["robust_train_error"])


def test_safetensors_are_written_where_they_are_asked_for(tmp_path):
    asked, usual = (
        start(tmp_path / suffix / f"net{suffix}", save_epochs=[1], tracing=None) for suffix in (".safetensors", ".pt")
    )
    assert [path.name for path in asked.paths] == [f"net{end}.safetensors" for end in ("", "-epoch0", "-epoch1")]
    for one, other in zip(asked.paths, usual.paths, strict=True):
        mine, theirs = load_model(one).state_dict(), load_model(other).state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        assert read_checkpoint(one).training == read_checkpoint(other).training


def batchnorm_net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))


def frozen_net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)


@pytest.mark.parametrize(
    ("model", "batch_size", "message"),
    [
        ("lenet:width=1", 1438, "batch_size = 1438 is more than the 1437 examples"),
        (f"{__name__}:batchnorm_net", 1, "no variance for BatchNorm"),
        (f"{__name__}:frozen_net", 128, "no parameter to train"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_file_is_written(tmp_path, model, batch_size, message):
    (tmp_path / "net-epoch0.pt").write_text("of an earlier run")
    with pytest.raises(UsageError, match=message):
        start(tmp_path / "net.pt", replace(RECIPE, batch_size=batch_size), model=model, overwrite=True)
    assert (tmp_path / "net-epoch0.pt").read_text() == "of an earlier run"


def test_a_run_that_diverges_at_once_leaves_nothing_in_the_way_of_the_next(tmp_path):
    with pytest.raises(LandscapeError, match="the loss became"):
        start(tmp_path / "net.pt", Recipe(0.02, epochs=3, optimizer="sgd", lr=1e30, batch_size=256))
    assert list(tmp_path.iterdir()) == []
    assert start(tmp_path / "net.pt").paths[0].exists()


@pytest.mark.parametrize(("batch", "left"), [(6, []), (7, ["net-epoch1.pt"])])
def test_an_interrupted_run_keeps_what_it_has_done(tmp_path, batch, left):
    def interrupt(stage, done, total):
        if (stage, done) == ("training", batch):  # of six batches an epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "net.pt", save_epochs=[1], progress=interrupt)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"net-epoch0.pt", *left, "net.traces.h5", "net.resume.pt"}


def test_each_period_leaves_its_own_checkpoint(tmp_path):
    recipe = replace(RECIPE, epochs=3, periods=(1, 3), eps_schedule="linear", lr_schedule="cosine")
    result = start(tmp_path / "net.pt", recipe)
    names = [path.name for path in result.paths if path.suffix == ".pt"]
    assert names == ["net.pt", "net-epoch0.pt", "net-epoch1.pt", "net-epoch3.pt"]
    history = result.training["history"]
    assert [record["eps"] for record in history] == pytest.approx([0, 0, 0.02])
    assert [record["lr"] for record in history] == pytest.approx([5e-3, 5e-3, 2.5e-3])
    last, kept = load_model(tmp_path / "net.pt").state_dict(), load_model(tmp_path / "net-epoch3.pt").state_dict()
    assert all(torch.equal(last[name], kept[name]) for name in last)


def test_the_best_epoch_is_that_of_the_least_robust_error_on_the_held_out_examples(tmp_path):
    recipe = replace(RECIPE, epochs=4, holdout=100, ema=0.5, lr=0.02)
    result = start(tmp_path / "net.pt", recipe, keep_best=True, save_epochs=[1, 2, 3, 4])
    data, order = load_data("digits"), stream(0, "holdout").permutation(1437)[:100]
    rows = torch.from_numpy(np.sort(order))
    held = replace(data, images=data.images[rows], labels=data.labels[rows])
    attack = PGD(LinfBall(0.02))
    epochs = [load_model(tmp_path / f"net-epoch{epoch}.pt") for epoch in range(1, 5)]
    errors = [evaluate_error(net, held, attack)[1] for net in epochs]
    best = int(np.argmin(errors))  # the first of equals
    assert result.training["best"] == {"epoch": best + 1, "holdout_robust_error": errors[best]}
    kept = read_checkpoint(tmp_path / "net-best.pt")
    assert all(torch.equal(value, kept.state_dict[name]) for name, value in epochs[best].state_dict().items())
    assert kept.training["best"] == result.training["best"]
    assert result.training["final"]["train_examples"] == 1337  # what was held out is no training example
    averaged = read_checkpoint(tmp_path / "net-ema.pt").training["final"]
    judged = evaluate_error(load_model(tmp_path / "net-ema.pt"), load_data("digits", split="test"))
    assert (averaged["clean_test_loss"], averaged["clean_test_error"]) == judged
    assert judged[0] != result.training["final"]["clean_test_loss"]


def test_the_best_epoch_needs_examples_that_training_does_not_see(tmp_path):
    with pytest.raises(UsageError, match="never on the test split; give --holdout N too"):
        start(tmp_path / "net.pt", keep_best=True)


def test_a_net_that_is_not_made_for_the_data_is_refused_before_a_file_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"lenet:width=1,input=1x8x8,classes=4 gives \(1, 4\) .* labels of 10 classes"):
        start(tmp_path / "net.pt", model="lenet:width=1,classes=4")
    assert list(tmp_path.iterdir()) == []
