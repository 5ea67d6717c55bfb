"""The optional columns of a trace against what a plain loop and a dense Hessian give; they move nothing."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from landscape.attacks import PGD
from landscape.data import ImageData, select
from landscape.errors import LandscapeError
from landscape.streams import example_streams, stream
from landscape.training import Recipe
from landscape.training.batches import batch_bounds, epoch_order
from landscape.training.extras import EXTRAS, Extras
from landscape.training.recorder import Recorder
from landscape.training.trainer import Trainer


def toy(n=41):
    rng = stream(3, "toy")
    images = torch.from_numpy(rng.uniform(0.2, 0.8, (n, 1, 2, 3)))
    return ImageData(images, torch.from_numpy(rng.integers(0, 3, n)), 3, "toy", "train")


def net():
    torch.manual_seed(1)
    made = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, 3))
    return made.double()


def record(model, recipe, which=EXTRAS, *, every=2, data=None):
    data = toy() if data is None else data
    steps = len(batch_bounds(len(data), recipe.batch_size))
    recorder = Recorder(
        model, steps_per_epoch=steps, extras=Extras(model, data, recipe, which, every=every) if which else None
    )
    Trainer(model, data, recipe, device="cpu", recorder=recorder).run()
    return recorder.arrays()


RECIPE = Recipe(0.05, epochs=2, batch_size=8, optimizer="sgd", lr=0.1, attack="pgd:steps=2")


def test_optional_columns_move_nothing_and_stand_in_their_rows_alone():
    plain, asked = net(), net()
    wanted = record(plain, RECIPE, ())
    arrays = record(asked, RECIPE)
    for name, value in plain.state_dict().items():
        assert torch.equal(asked.state_dict()[name], value)
    for name, column in wanted.items():
        np.testing.assert_array_equal(arrays[name], column)
    own = set(arrays) - set(wanted)
    assert own == {
        "layer_gradient_norm", "clean_loss", "clean_gradient_norm", "gradient_cosine", "lambda_1", "lambda_1_residual",
    }  # fmt: skip
    for name in own:
        measured = np.isfinite(arrays[name]).reshape(len(arrays["step"]), -1)
        np.testing.assert_array_equal(measured, (arrays["step"] % 2 == 0)[:, None].repeat(measured.shape[1], 1))


def test_the_norms_of_layers_make_up_that_of_the_gradient():
    extras = Extras(net(), toy(), RECIPE, ("layers",), every=1)
    assert extras.layers == ["1", "2", "5"]
    arrays = record(net(), RECIPE, ("layers",), every=1)
    assert arrays["layer_gradient_norm"].shape == (10, 3)
    np.testing.assert_allclose(np.linalg.norm(arrays["layer_gradient_norm"], axis=1), arrays["gradient_norm"])


def test_the_clean_gradient_is_that_of_the_same_batch_at_the_same_weights():
    model, data = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double(), toy(8)
    start = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    recipe = Recipe(0.1, epochs=1, batch_size=8, attack="pgd:steps=2")

    def gradient(images):
        hidden = torch.tanh(F.linear(images.flatten(1), start[0], start[1]))
        loss = F.cross_entropy(F.linear(hidden, start[2], start[3]), labels)
        return loss.item(), torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, start)])

    order = epoch_order(8, seed=0, epoch=0)
    images, labels = data.images[order], data.labels[order]
    noise = partial(lambda restart: example_streams(0, f"attack/epoch0/restart{restart}", order))
    attacked = PGD(recipe.attack_at(0.1).ball, steps=2, keep="last")(model, images, labels, noise=noise)
    arrays = record(model, recipe, ("cosine",), every=1, data=data)
    (clean_loss, clean), (loss, adversarial) = gradient(images), gradient(attacked)
    assert arrays["clean_loss"][0] == pytest.approx(clean_loss)
    assert arrays["loss"][0] == pytest.approx(loss)
    assert arrays["clean_gradient_norm"][0] == pytest.approx(clean.norm().item())
    cosine = (clean @ adversarial / clean.norm() / adversarial.norm()).item()
    assert arrays["gradient_cosine"][0] == pytest.approx(cosine)
    assert cosine < 0.9999


def test_without_an_attack_both_gradients_are_one():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)).double()
    arrays = record(plain, Recipe(0.0, epochs=1, batch_size=8), ("cosine",), every=1)
    np.testing.assert_allclose(arrays["gradient_cosine"], 1)
    np.testing.assert_allclose(arrays["clean_loss"], arrays["loss"])


def test_lambda_1_lies_within_its_residual_of_the_dense_hessian():
    model, data = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, 3)).double(), toy(30)
    shapes = [parameter.shape for parameter in model.parameters()]
    w = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).clone()
    examples = select(data, 30)

    def loss(w):
        first, a, second, b = (
            part.view(shape) for part, shape in zip(w.split([s.numel() for s in shapes]), shapes, strict=True)
        )
        hidden = F.softplus(F.linear(examples.images.flatten(1), first, a))
        return F.cross_entropy(F.linear(hidden, second, b), examples.labels)

    largest = torch.linalg.eigvalsh(torch.func.hessian(loss)(w))[-1].item()
    arrays = record(model, Recipe(0.0, epochs=1, batch_size=30), ("lambda1",), every=1, data=data)
    assert abs(arrays["lambda_1"][0] - largest) <= arrays["lambda_1_residual"][0] + 1e-12
    assert arrays["lambda_1_residual"][0] < 0.05 * largest


def test_a_net_that_has_no_lambda_1_leaves_its_rows_empty_and_says_so_once(caplog, monkeypatch):
    def refuse(*_, **__):
        raise LandscapeError("the Hessian products are not symmetric")

    monkeypatch.setattr("landscape.training.extras.top_eigenpairs", refuse)
    arrays = record(net(), RECIPE, ("lambda1", "layers"), every=2)
    assert np.isnan(arrays["lambda_1"]).all() and np.isfinite(arrays["layer_gradient_norm"][::2]).all()
    (said,) = [text for text in caplog.messages if "lambda_1" in text]
    why = "the Hessian products are not symmetric"
    assert said == f"caution: lambda_1 could not be measured at step 0 ({why}); its rows stay empty"
