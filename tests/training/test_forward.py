"""The forward pass of an update: compiled, laid out otherwise, or as it is, with one answer and one state after it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.attacks.twin import Twin
from landscape.training.forward import Forward


class Views(nn.Module):
    """Takes images that lie contiguous alone."""

    def forward(self, images):
        return images.view(len(images), -1)


def net(last=nn.Flatten):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), last(), nn.Linear(4 * 36, 3)
    ).train()  # fmt: skip


def run(model, forward, images, **settings):
    torch.manual_seed(7)  # dropout
    logits = forward(images, **settings)
    (gradient,) = torch.autograd.grad(logits.sum(), model[0].weight)
    return logits.detach(), gradient, {name: value.clone() for name, value in model.state_dict().items()}


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("landscape")]


@pytest.fixture
def images():
    return torch.rand(12, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def forward_of(model, **settings):
    return Forward(model, device=torch.device("cpu"), **settings)


def test_a_layout_changes_rounding_alone_and_its_trial_nothing(images):
    plain, other = net(), net()
    plain[3].p = other[3].p = 0  # dropout is drawn in the order of memory
    wanted = run(plain, forward_of(plain), images)
    found = run(other, forward_of(other), images, layout=torch.channels_last)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert other[1].num_batches_tracked == 1


def test_a_net_that_takes_no_other_layout_gets_its_own(images):
    plain, other = net(Views), net(Views)
    wanted = run(plain, forward_of(plain), images)
    found = run(other, forward_of(other), images, layout=torch.channels_last)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_net_takes_the_same_step(images, backend, caplog):
    plain, other = net(), net()
    plain[3].p = other[3].p = 0  # a compiler may draw dropout otherwise
    forward = forward_of(other, compiler=backend)
    forward.compile(images)
    wanted = run(plain, forward_of(plain), images)
    torch.testing.assert_close(run(other, forward, images), wanted, rtol=1e-5, atol=1e-6)
    ragged = images[:5]
    torch.testing.assert_close(
        run(other, forward, ragged)[0], run(plain, forward_of(plain), ragged)[0], rtol=1e-5, atol=1e-6
    )
    assert warnings(caplog) == []

    twin, loose = Twin(other, compiler=backend), Twin(plain)
    torch.testing.assert_close(twin.network(images)(images), loose.network(images)(images), rtol=1e-4, atol=1e-5)
    assert warnings(caplog) == []


def test_what_cannot_be_compiled_runs_as_it_is_with_one_line_each(images, caplog):
    plain, other = net(), net()
    forward = forward_of(other, compiler="no such thing")
    for _ in range(2):
        forward.compile(images)
    wanted = run(plain, forward_of(plain), images)
    torch.testing.assert_close(run(other, forward, images), wanted, rtol=0, atol=0)
    twin = Twin(other, compiler="no such thing")
    for _ in range(2):
        assert torch.equal(twin.network(images)(images), Twin(other).network(images)(images))
    updates, attack = warnings(caplog)
    assert updates.startswith("caution: the updates are not compiled (") and updates.endswith("; they run as they are")
    assert attack.startswith("caution: the attack is not compiled (") and attack.endswith("; it runs as it is")
    assert "\n" not in updates + attack
