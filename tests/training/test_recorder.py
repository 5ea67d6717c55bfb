"""A row of a trace against what a plain loop over the same batches computes; the half-batches against their law."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.data import ImageData
from landscape.streams import stream
from landscape.training import Recipe
from landscape.training.batches import batch_bounds, epoch_order
from landscape.training.recorder import ROWS_BETWEEN_FETCHES, Recorder, cheap_halves
from landscape.training.trainer import Trainer


def toy(n=41):
    rng = stream(3, "toy")
    images = torch.from_numpy(rng.uniform(0.2, 0.8, (n, 1, 2, 3)).astype(np.float32))
    return ImageData(images, torch.from_numpy(rng.integers(0, 3, n)), 3, "toy", "train")


def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def record(model, data, recipe, **settings):
    steps = len(batch_bounds(len(data), recipe.batch_size))
    recorder = Recorder(model, steps_per_epoch=steps, **settings)
    Trainer(model, data, recipe, device="cpu", recorder=recorder).run()
    return recorder.arrays()


PLAIN = Recipe(0.0, epochs=3, batch_size=8, optimizer="sgd", lr=0.2, momentum=0.0)


def reference(model, data, recipe):
    """Plain SGD in float64 over the same batches, each number of a row by itself."""
    model = copy.deepcopy(model).double()
    start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    rows = []

    def gradient(x, y):
        grads = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        return torch.cat([g.reshape(-1) for g in grads])

    for epoch in range(recipe.epochs):
        order = epoch_order(len(data), seed=recipe.seed, epoch=epoch)
        for begin, end in batch_bounds(len(data), recipe.batch_size):
            x, y = data.images[order[begin:end]].double(), data.labels[order[begin:end]]
            w = nn.utils.parameters_to_vector(model.parameters()).detach()
            logits, g, h = model(x), gradient(x, y), len(y) // 2
            rows.append(
                {
                    "loss": F.cross_entropy(logits, y).item(),
                    "error_rate": (logits.argmax(1) != y).double().mean().item(),
                    "gradient_norm": g.norm().item(),
                    "gradient_norm_sq_unbiased": (gradient(x[:h], y[:h]) @ gradient(x[h:], y[h:])).item(),
                    "distance_from_init": (w - start).norm().item(),
                }
            )
            nn.utils.vector_to_parameters(w - recipe.lr * g, model.parameters())
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_a_row_is_what_a_plain_loop_computes():
    model, data = net(), toy()
    wanted = reference(model, data, PLAIN)
    arrays = record(model, data, PLAIN)
    for name, values in wanted.items():
        # float32 against float64: rounding of 1e-7 in sums of tens of terms, carried through 15 updates
        np.testing.assert_allclose(arrays[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert arrays["distance_from_init"][0] == 0
    np.testing.assert_array_equal(arrays["step"], np.arange(15))  # batches of 8, 8, 8, 8 and 9
    np.testing.assert_allclose(arrays["epoch"], np.arange(15) / 5)
    np.testing.assert_array_equal(arrays["learning_rate"], 0.2)
    np.testing.assert_array_equal(arrays["eps"], 0)


def test_the_inner_product_of_halves_is_unbiased_where_the_squared_norm_is_not():
    """Over all splits of 4 examples into halves: the mean is the mean of g_i'g_j over pairs i != j, exactly."""
    model, data = net(), toy(4)
    data.labels[:] = torch.tensor([0, 1, 2, 0])  # gradients that differ
    grads = torch.stack(
        [
            torch.cat(
                [
                    g.reshape(-1)
                    for g in torch.autograd.grad(
                        F.cross_entropy(model(data.images[i : i + 1]), data.labels[i : i + 1]),
                        list(model.parameters()),
                    )
                ]
            )
            for i in range(4)
        ]
    )
    products = grads @ grads.T
    pairs = (products.sum() - products.trace()).item() / 12
    found = []
    for split in [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)]:
        part = ImageData(data.images[list(split)], data.labels[list(split)], 3, "toy", "train")
        recorder = Recorder(model, steps_per_epoch=1)
        logits = model(part.images)
        half = recorder.first_half(0, logits, part.labels)
        model.zero_grad()
        loss = F.cross_entropy(logits, part.labels)
        loss.backward()
        recorder.record(0, loss=loss.detach(), wrong=torch.tensor(0), count=4, eps=0, lr=0, half=half)
        arrays = recorder.arrays()
        found.append(arrays["gradient_norm_sq_unbiased"][0])
    assert np.mean(found) == pytest.approx(pairs, rel=1e-4)
    assert arrays["gradient_norm"][0] ** 2 == pytest.approx(products.mean().item(), rel=1e-5)  # pairs i = j too
    assert abs(products.mean().item() - pairs) > 0.1 * abs(pairs)


def test_recording_changes_nothing():
    recipe = Recipe(0.1, epochs=2, batch_size=8, attack="pgd:steps=2")
    one, other = (
        nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 3)) for _ in "ab"
    )
    other.load_state_dict(one.state_dict())
    Trainer(one, toy(), recipe, device="cpu").run()
    record(other, toy(), recipe)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_rows_and_halves_come_as_often_as_asked():
    arrays = record(net(), toy(), PLAIN, every=2, halves_every=3)
    np.testing.assert_array_equal(arrays["step"], np.arange(0, 15, 2))
    np.testing.assert_array_equal(np.isfinite(arrays["gradient_norm_sq_unbiased"]), np.arange(8) % 3 == 0)
    assert np.isfinite(arrays["gradient_norm"]).all()


def test_a_batch_of_one_has_no_halves():
    arrays = record(net(), toy(3), Recipe(0.0, epochs=1, batch_size=1))
    assert np.isnan(arrays["gradient_norm_sq_unbiased"]).all()


def test_rows_survive_many_fetches():
    recipe = Recipe(0.0, epochs=ROWS_BETWEEN_FETCHES, batch_size=8, lr=1e-3)
    whole = record(net(), toy(), recipe)
    np.testing.assert_array_equal(whole["step"], np.arange(5 * ROWS_BETWEEN_FETCHES))
    few = record(net(), toy(), Recipe(0.0, epochs=1, batch_size=8, lr=1e-3))
    for name, values in few.items():
        np.testing.assert_array_equal(values, whole[name][:5])


def test_the_gradient_of_a_frozen_or_unused_parameter_is_none_of_its_norm():
    model = net()
    model[1].requires_grad_(False)
    model.unused = nn.Parameter(torch.ones(2))
    arrays = record(model, toy(), PLAIN)
    assert np.isfinite(arrays["gradient_norm"]).all()
    assert np.isfinite(arrays["distance_from_init"]).all()


def test_half_batches_are_rarer_where_an_update_is_cheaper():
    # Two forward passes more, in updates of 3 (no attack) and of 3 + 2 x 10 x 1 or 3 + 2 x 7 x 2 (PGD).
    assert cheap_halves(Recipe(0.0)) == np.ceil(2 / (0.015 * 3))
    assert cheap_halves(Recipe(0.1)) == np.ceil(2 / (0.015 * 23))
    assert cheap_halves(Recipe(0.1, attack="pgd:steps=7,restarts=2")) == np.ceil(2 / (0.015 * 31))
