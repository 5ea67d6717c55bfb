"""The trainer against convex oracles; determinism, attacks in eval mode, ragged batches, the stop at NaN."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape.data import ImageData, load_data
from landscape.errors import LandscapeError, UsageError
from landscape.models import build_model
from landscape.streams import stream
from landscape.training import Recipe, collapsed, evaluate_error, judge, train


def toy(n=40, *, shift=0.15, seed=0, pixels=4):
    """Two overlapping classes well inside the box, so that the box [0, 1] never clips an attack of eps <= 0.2."""
    rng = stream(seed, "toy")
    labels = np.arange(n) % 2
    images = (
        0.5
        + rng.uniform(-0.2, 0.2, (n, pixels))
        + 0.5 * shift * (2 * labels[:, None] - 1) * np.linspace(1, 0.2, pixels)
    )
    images = torch.from_numpy(images.clip(0.2, 0.8).astype(np.float32)).view(n, 1, 1, pixels)
    return ImageData(images, torch.from_numpy(labels), 2, "toy", "train")


def linear_net(pixels=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2))


def batchnorm_net(pixels=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 2)
    )


def oracle(data, eps):
    """Least adversarial loss of a linear classifier: the maximum over the cube adds eps ||u||_1 to each margin's loss.

    With u = p - q, p and q >= 0, the problem is smooth and convex, and L-BFGS-B solves it.
    """
    x = data.images.flatten(1).double().numpy()
    sign = 1 - 2 * data.labels.numpy()  # the margin of class 0 over class 1 enters with its sign
    d = x.shape[1]

    def value(z):
        p, q, b = z[:d], z[d : 2 * d], z[-1]
        exponent = -sign * (x @ (p - q) + b) + eps * (p + q).sum()
        weight = 1 / (1 + np.exp(-exponent)) / len(x)
        slope = -(sign * weight) @ x
        gradient = np.concatenate([slope + eps * weight.sum(), -slope + eps * weight.sum(), [-(sign * weight).sum()]])
        return np.logaddexp(0, exponent).mean(), gradient

    bounds = [(0, None)] * (2 * d) + [(None, None)]
    return minimize(value, np.full(2 * d + 1, 0.1), jac=True, bounds=bounds, method="L-BFGS-B", tol=1e-12).fun


@pytest.mark.parametrize(("eps", "lr"), [(0.02, 1.0), (0.04, 0.3)])  # a smaller eps, a farther optimum
def test_a_linear_net_reaches_the_least_adversarial_loss(eps, lr):
    data = toy()
    net = linear_net()
    attack = "pgd:steps=4,rel_step=0.5"  # the gradient's sign never changes: four half steps reach the corner
    recipe = Recipe(eps, epochs=400, lr=lr, lr_schedule="cosine", batch_size=40, attack=attack)
    history = train(net, data, recipe)
    best = oracle(data, eps)
    assert best < 0.9 * np.log(2)  # a real optimum, not the constant classifier
    assert best - 1e-6 <= history[-1]["loss"] <= best + 1e-3  # Adam's last steps are still up to 4e-4 away


def test_beyond_the_threshold_the_linear_net_becomes_constant():
    data = toy()
    x, y = data.images.flatten(1), data.labels
    threshold = (x[y == 0].mean(0) - x[y == 1].mean(0)).abs().max().item() / 2  # free biases (paper, linear model)
    net = linear_net()
    recipe = Recipe(
        1.2 * threshold, epochs=300, lr=0.1, lr_schedule="cosine", batch_size=40, attack="pgd:steps=4,rel_step=0.5"
    )
    history = train(net, data, recipe)
    assert history[-1]["loss"] == pytest.approx(np.log(2), abs=1e-3)
    assert collapsed(judge(net, data))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_same_seed_gives_the_same_bits(optimizer):
    data = toy()

    def trained(seed):
        net = batchnorm_net()
        torch.manual_seed(seed + 100)  # the global generator has no say, not even in Dropout
        history = train(net, data, Recipe(0.05, epochs=2, batch_size=16, optimizer=optimizer, lr=0.01, seed=seed))
        return net.state_dict(), history

    (first, history), (second, again), (other, _) = trained(1), trained(1), trained(2)
    assert history == again
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    net = batchnorm_net()
    torch.manual_seed(5)
    train(net, toy(), Recipe(0.05, epochs=1, batch_size=16))
    assert torch.equal(torch.rand(3), expected)


def test_the_attack_runs_in_eval_mode_and_learning_in_train_mode():
    net = batchnorm_net()
    seen = []
    net.register_forward_hook(lambda module, _, output: seen.append((module.training, len(output))))
    train(net, toy(41), Recipe(0.05, epochs=2, batch_size=20, attack="pgd:steps=3"))
    learning = [size for training, size in seen if training]
    assert learning == [20, 21, 20, 21]  # the 41st example joins the second batch
    assert net[2].num_batches_tracked == len(learning)  # the attack moved no statistics
    assert len(seen) == len(learning) * (1 + 3)  # three steps of attack, the last iterate not evaluated again


def test_the_net_comes_back_in_its_mode_without_gradients():
    net = batchnorm_net().eval()
    net[2].train()
    train(net, toy(), Recipe(0.05, epochs=1, batch_size=20))
    assert not net.training
    assert net[2].training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_eps_zero_attacks_nothing():
    net = linear_net()
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    train(net, toy(), Recipe(0.0, epochs=1, batch_size=20))
    assert len(calls) == 2


def test_schedules_reach_the_history_and_the_net():
    recipe = Recipe(0.1, epochs=4, eps_schedule="linear", lr_schedule="linear", lr=0.1, batch_size=20)
    records = []
    history = train(linear_net(), toy(), recipe, on_epoch=records.append)
    assert records == history
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert [record["eps"] for record in history] == pytest.approx([0, 0.05, 0.1, 0.1])
    assert [record["lr"] for record in history] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    by_batch = train(linear_net(), toy(), Recipe(**{**recipe.to_dict(), "schedule_by": "batch"}))
    assert [record["lr"] for record in by_batch] == pytest.approx([0.0875, 0.0625, 0.0375, 0.0125])


def test_the_history_counts_examples_not_batches():
    data = toy(41)  # batches of 16, 16 and 9
    net = linear_net()
    frozen = copy.deepcopy(net)
    history = train(net, data, Recipe(0.0, epochs=1, batch_size=16, lr=1e-12))
    assert (history[0]["loss"], history[0]["error"]) == pytest.approx(evaluate_error(frozen, data), abs=1e-6)


def test_frozen_parameters_stay():
    net = batchnorm_net()
    net[1].requires_grad_(False)
    before = net[1].weight.clone()
    train(net, toy(), Recipe(0.05, epochs=1, batch_size=20, weight_decay=0.1))
    assert torch.equal(net[1].weight, before)
    with pytest.raises(UsageError, match="no parameter to train"):
        train(net.requires_grad_(False), toy(), Recipe(0.05, epochs=1, batch_size=20))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_diverging_run_stops_and_says_where(optimizer):
    net = linear_net()
    with torch.no_grad():
        net[1].weight.fill_(float("nan"))
    with pytest.raises(LandscapeError, match=r"nan in epoch 1, batch 1 \(eps = 0.1, lr = 0.1\); try") as caught:
        train(net, toy(), Recipe(0.1, lr=0.1, optimizer=optimizer, batch_size=20))
    assert "--lr 0.01" in str(caught.value)


def test_a_huge_learning_rate_diverges_loudly():
    with pytest.raises(LandscapeError, match="the loss became"):
        train(batchnorm_net(), toy(), Recipe(0.1, lr=1e30, optimizer="sgd", batch_size=20, epochs=5))


def test_batchnorm_refuses_batches_of_one():
    with pytest.raises(UsageError, match="--batch-size 2"):
        train(batchnorm_net(), toy(), Recipe(0.1, batch_size=1))


def test_progress_counts_the_batches_of_the_whole_run_and_each_epoch_is_logged(caplog):
    calls = []
    with caplog.at_level("INFO", "landscape"):
        history = train(linear_net(), toy(), eps=4 / 255, epochs=2, batch_size=20, progress=lambda *c: calls.append(c))
    assert calls == [("training", done, 4) for done in (1, 2, 3, 4)]
    loss, error = history[1]["loss"], 100 * history[1]["error"]
    assert caplog.messages[1] == f"epoch 2/2: eps 4/255, loss {loss:.4g}, error {error:.2f} %"
    assert len(caplog.messages) == 2


def test_a_notebook_trains_on_what_it_has():
    data = toy()
    recipe = Recipe(0.1, epochs=2, batch_size=16)

    def weights(*given, **settings):
        net = linear_net()
        train(net, *given, **settings)
        return net[1].weight

    wanted = weights(data, recipe)
    pair = (data.images.numpy(), data.labels.numpy())
    dataset = TensorDataset(data.images, data.labels)
    for images in (pair, dataset, DataLoader(dataset, batch_size=7)):
        assert torch.equal(weights(images, eps=0.1, epochs=2, batch_size=16), wanted)
        assert torch.equal(weights(images, recipe), wanted)


def test_a_net_is_trained_where_it_is():
    seen = []

    class Elsewhere(nn.Module):
        """A net without storage: PyTorch's meta device is there on every machine, and holds shapes alone."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 2, device="meta"))

        def forward(self, images):
            seen.append((images.device.type, self.weight.device.type))
            raise StopIteration

    with pytest.raises(StopIteration):
        train(Elsewhere(), toy(), eps=0, epochs=1, batch_size=20)
    assert seen == [("meta", "meta")]


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ([], {}, "the radius is missing; give eps=0.1"),
        ([], {"epochs": 2}, "the radius is missing; give eps=0.1"),
        ([], {"eps": 0.1, "epoch": 2}, "epoch is no setting of training; did you mean epochs"),
        ([Recipe(0.1)], {"epochs": 2}, "a recipe came, and epochs beside it"),
        ([0.1], {}, "0.1 came as the recipe; give a Recipe, or its fields by name"),
        ([], {"eps": 4}, "did you mean 4/255"),
    ],
)
def test_settings_that_say_too_little_or_too_much(given, settings, message):
    with pytest.raises(UsageError, match=message):
        train(linear_net(), toy(), *given, **settings)


def test_augmentation_is_seen_by_the_net_and_is_seeded():
    rng = stream(0, "images")
    images = torch.from_numpy(rng.integers(0, 256, (24, 3, 8, 8), dtype=np.uint8))
    data = ImageData(images, torch.arange(24) % 2, 2, "toy", "train")

    def loss(**settings):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        return train(net, data, Recipe(0.0, epochs=1, batch_size=8, **settings))[0]["loss"]

    assert loss(augment=True) == loss(augment=True) != loss(augment=False) == loss()


def test_digits_are_learnt_in_three_epochs():
    net, _ = build_model("lenet:width=2", input=(1, 8, 8), classes=10, seed=0)
    train(net, load_data("digits"), Recipe(0.03, epochs=3, lr=1e-2, batch_size=64, attack="pgd:steps=3,rel_step=0.5"))
    test = load_data("digits", split="test")
    assert evaluate_error(net, test)[1] < 0.2
    assert not collapsed(judge(net, test))
