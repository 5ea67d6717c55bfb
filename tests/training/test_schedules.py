"""The schedules against the values that the paper's formulas give (Liu et al. 2020, section 5)."""

from __future__ import annotations

import pytest

from landscape.errors import UsageError
from landscape.training.schedules import EPS_SCHEDULES, LR_SCHEDULES, eps_at, lr_at, position

MNIST = (0, 100)
CIFAR = (0, 200)
PERIODIC = (0, 100, 150, 200)


def eps(epoch, boundaries, kind, target, peak):
    return eps_at(position(epoch, boundaries), kind=kind, target=target, peak=peak)


@pytest.mark.parametrize(
    ("kind", "peak", "epoch", "wanted"),
    [
        ("cosine", 0.6, 25, 0.08787),
        ("cosine", 0.6, 50, 0.3),
        ("cosine", 0.6, 60, 0.39271),
        ("cosine", 0.6, 61, 0.4),
        ("cosine", 0.6, 100, 0.4),
        ("linear", 0.8, 25, 0.2),
        ("linear", 0.8, 50, 0.4),
        ("linear", 0.8, 75, 0.4),
        ("constant", 0.8, 0, 0.4),
    ],
)
def test_eps_of_the_mnist_runs(kind, peak, epoch, wanted):
    assert eps(epoch, MNIST, kind, 0.4, peak) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("boundaries", "epoch", "wanted"),
    [
        (CIFAR, 0, 0.0),
        (CIFAR, 50, 2.34315),
        (CIFAR, 75, 4.93853),
        (CIFAR, 100, 8.0),
        (PERIODIC, 25, 2.34315),
        (PERIODIC, 50, 8.0),
        (PERIODIC, 100, 0.0),
        (PERIODIC, 125, 8.0),
        (PERIODIC, 150, 0.0),
        (PERIODIC, 200, 8.0),
    ],
)
def test_eps_of_the_cifar_runs_in_units_of_1_255(boundaries, epoch, wanted):
    got = eps(epoch, boundaries, "cosine", 8 / 255, 16 / 255)
    assert got * 255 == pytest.approx(wanted, abs=1e-5)


def test_eps_reaches_the_target_when_the_paper_does():
    # linear: half way with a peak of twice the target; cosine .6 to .4: epoch 60.8 of 100 (arccos(-1/3) / pi).
    assert eps(60.81, MNIST, "cosine", 0.4, 0.6) < 0.4 == eps(60.82, MNIST, "cosine", 0.4, 0.6)
    assert eps(49.9, MNIST, "linear", 0.4, 0.8) < 0.4 == eps(50, MNIST, "linear", 0.4, 0.8)


@pytest.mark.parametrize("kind", EPS_SCHEDULES)
@pytest.mark.parametrize("target", [0.0, 8 / 255, 0.4])
def test_eps_never_leaves_its_clip(kind, target):
    for step in range(41):
        value = eps_at(step / 40, kind=kind, target=target, peak=2 * target, start=-0.01)
        assert 0 <= value <= target


def test_eps_starts_where_it_is_told():
    assert eps_at(0, kind="linear", target=0.4, peak=0.4, start=0.1) == pytest.approx(0.1)
    assert eps_at(0.5, kind="cosine", target=0.4, peak=0.4, start=0.1) == pytest.approx(0.25)


@pytest.mark.parametrize(("epoch", "wanted"), [(0, 0.1), (99.99, 0.1), (100, 0.01), (149, 0.01), (150, 1e-3)])
def test_lr_drops_at_100_and_150_of_200(epoch, wanted):
    got = lr_at(position(epoch, CIFAR), kind="step", lr=0.1, drops=(0.5, 0.75), factor=0.1)
    assert got == pytest.approx(wanted, rel=1e-9)


def test_lr_drop_due_at_a_third_happens_there():
    for epochs in (3, 9, 21, 30, 300):
        third = lr_at(position(epochs // 3, (0, epochs)), kind="step", lr=1.0, drops=(0.333333333333,), factor=0.5)
        assert third == 0.5


def test_lr_and_eps_restart_together():
    for start in (0, 100, 150):
        assert lr_at(position(start, PERIODIC), kind="cosine", lr=0.1) == 0.1
        assert eps(start, PERIODIC, "linear", 0.4, 0.8) == 0


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("constant", (1, 1, 1)),
        ("linear", (1, 0.5, 0)),
        ("cosine", (1, 0.5, 0)),
        ("step", (1, 1, 1)),
        ("cyclic", (0, 5 / 6, 0)),
    ],
)
def test_lr_at_start_middle_and_end(kind, wanted):
    assert [lr_at(at, kind=kind, lr=1.0) for at in (0, 0.5, 1)] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("boundaries", [(0,), (0, 0), (0, 100, 100), (0, 100, 50)])
def test_boundaries_must_increase(boundaries):
    with pytest.raises(UsageError, match="do not increase"):
        position(0, boundaries)


@pytest.mark.parametrize("epoch", [-1, 200.5, float("nan")])
def test_an_epoch_outside_the_run_is_refused(epoch):
    with pytest.raises(UsageError, match="outside the run"):
        position(epoch, CIFAR)


def test_unknown_schedules_name_the_nearest():
    with pytest.raises(UsageError, match="did you mean cosine"):
        eps_at(0, kind="cosin", target=0.1, peak=0.1)
    with pytest.raises(UsageError, match="did you mean linear"):
        lr_at(0, kind="liner", lr=0.1)
    assert set(LR_SCHEDULES) > set(EPS_SCHEDULES)
