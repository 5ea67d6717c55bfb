"""Traces along checkpoints: against gradients written out, and in plain NumPy where a closed form is known."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from landscape import traces
from landscape.attacks import PGD, LinfBall
from landscape.errors import LandscapeError, UsageError
from landscape.models import build_model
from landscape.results import read_result


def nets(count: int = 3, spec: str = "mlp:hidden=6") -> list[torch.nn.Module]:
    net, _ = build_model(spec, input=(1, 3, 3), classes=4, seed=0)
    net = net.double()
    found = []
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        found.append(copy.deepcopy(net))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return found


def data(n: int = 21) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(n, 1, 3, 3, generator=generator), torch.randint(4, (n,), generator=generator)


def per_example_gradients(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    rows = []
    for x, y in zip(images, labels, strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(net(x[None]), y[None]), list(net.parameters()))
        rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]).numpy())
    return np.array(rows)


def test_rows_are_what_every_examples_gradient_says() -> None:
    along, (images, labels) = nets(), data()
    result = traces(along, (images, labels), eps=[0.0, 0.1], n_examples="all", steps=[0, 10, 20], batch_size=4)
    np.testing.assert_array_equal(result.step, [0, 0, 10, 10, 20, 20])
    np.testing.assert_array_equal(result.eps, [0, 0.1] * 3)
    # The clean rows: the examples as they are.
    for row, net in zip((0, 2, 4), along, strict=True):
        each = per_example_gradients(net, images.double(), labels)
        n, mean = len(each), each.mean(axis=0)
        norm = np.linalg.norm(mean)
        losses = F.cross_entropy(net(images.double()), labels, reduction="none").detach().numpy()
        wrong = (net(images.double()).argmax(1) != labels).double().numpy()
        expected = {
            "loss": losses.mean(),
            "loss_se": losses.std(ddof=1) / np.sqrt(n),
            "error_rate": wrong.mean(),
            "error_rate_se": wrong.std(ddof=1) / np.sqrt(n),
            "gradient_norm": norm,
            "gradient_norm_se": (each @ mean / norm).std(ddof=1) / np.sqrt(n),
        }
        for name, value in expected.items():
            assert result.arrays[name][row] == pytest.approx(value, rel=1e-9), name
    start = torch.cat([p.detach().reshape(-1) for p in along[0].parameters()])
    end = torch.cat([p.detach().reshape(-1) for p in along[2].parameters()])
    np.testing.assert_allclose(result.distance_from_init[[0, 1, 4, 5]], [0, 0, *[float((end - start).norm())] * 2])


def test_attacked_rows_are_those_of_the_attack_at_each_nets_own_weights() -> None:
    along, (images, labels) = nets(2), data()
    attack = PGD(LinfBall(0.1), steps=4)
    result = traces(along, (images, labels), eps=0.1, attack=attack, n_examples="all", seed=3)
    assert (result.loss[1] != result.loss[0]) & (result.attrs["adversary"] == "reattacked")
    clean = traces(along, (images, labels), eps=0.0, n_examples="all")
    assert (result.loss > clean.loss).all()
    assert clean.attrs["adversary"] == clean.attrs["attack"] == "none"


def test_the_halves_inner_product_is_unbiased_where_the_norms_square_is_not() -> None:
    """Over all ways to draw n of N examples, its mean is the mean product of two distinct examples' gradients."""
    (net,), (images, labels) = nets(1), data(8)
    each = per_example_gradients(net, images.double(), labels)
    gram = each @ each.T
    off = (gram.sum() - np.trace(gram)) / (8 * 7)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(200):
        order = generator.permutation(8)
        shuffled = (images[order], labels[order])
        found.append(traces([net], shuffled, eps=0, n_examples="all").gradient_norm_sq_unbiased[0])
    spread = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - off) < 4 * spread  # four standard errors
    assert abs(np.trace(gram) / 64) > 4 * spread  # the bias of the square would have been seen


def test_one_net_and_one_example_have_what_can_be_had() -> None:
    (net,), (images, labels) = nets(1), data(1)
    result = traces([net], (images, labels), eps=0)
    assert result.gradient_norm[0] > 0
    for name in ("loss_se", "gradient_norm_se", "gradient_norm_sq_unbiased"):
        assert np.isnan(result.arrays[name][0])


def test_it_goes_on_from_where_it_was_left_and_batches_change_nothing() -> None:
    class Stop(Exception):
        pass

    class Kept:
        rows: dict[str, np.ndarray] | None = None

        def load(self):  # type: ignore[no-untyped-def]
            return self.rows

        def offer(self, state):  # type: ignore[no-untyped-def]
            self.rows = state()

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise Stop

    along, whole, kept = nets(), data(), Kept()
    settings = {"eps": [0.0, 0.1], "n_examples": "all", "seed": 1}
    with pytest.raises(Stop):
        traces(along, whole, **settings, snapshot=kept, progress=stop)  # type: ignore[arg-type]
    assert kept.rows is not None
    assert len(kept.rows["rows"]) == 2
    resumed = traces(along, whole, **settings, snapshot=kept)  # type: ignore[arg-type]
    at_once = traces(along, whole, **settings)  # type: ignore[arg-type]
    by_three = traces(along, whole, **settings, batch_size=3)  # type: ignore[arg-type]
    for name, array in at_once.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array)
        np.testing.assert_allclose(by_three.arrays[name], array, rtol=1e-9, atol=1e-12)


def test_the_nets_come_back_as_they_were_and_the_result_is_whole(tmp_path: Path) -> None:
    along = nets(2)
    before = [copy.deepcopy(net.state_dict()) for net in along]
    path = traces(along, data(), eps=[0, 0.1]).save(tmp_path / "t.h5")
    assert read_result(path).attrs["measured"] == "checkpoints"
    for net, state in zip(along, before, strict=True):
        assert net.training
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        assert all(parameter.grad is None for parameter in net.parameters())


def test_bad_input_is_one_sentence() -> None:
    along = nets(2)
    with pytest.raises(UsageError, match="no net came"):
        traces([], data(), eps=0)
    with pytest.raises(UsageError, match="3 steps came for 2 nets"):
        traces(along, data(), eps=0, steps=[0, 1, 2])
    with pytest.raises(UsageError, match="different parameters"):
        traces([along[0], nets(1, "mlp:hidden=5")[0]], data(), eps=0)
    with torch.no_grad():
        next(along[1].parameters()).fill_(torch.nan)
    with pytest.raises(LandscapeError, match="not finite on 21 of 21"):
        traces(along, data(), eps=0)
