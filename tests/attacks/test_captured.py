"""A recorded attack beside the loop: the same images, for every schedule, and wherever a recording does not apply."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from landscape.attacks import PGD, L2Ball, LinfBall
from landscape.attacks.captured import CapturedAttack, recorder_for
from landscape.attacks.twin import Twin
from landscape.streams import example_streams

SIZE = 6


class Double:
    """Records as a CUDA graph does, as far as anyone can see: the function is not called again with new arguments."""

    def __init__(self):
        self.recordings = self.replays = 0

    def __call__(self, ascent):
        self.recordings += 1
        result = ascent()

        def replay():
            self.replays += 1
            result.copy_(ascent())

        return result, replay


def net():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)
    )  # fmt: skip
    made[1].running_var.uniform_(0.5, 2)
    return made.eval()


def batch(seed=0, n=SIZE, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 8, 8, generator=generator)
    return images.to(device), torch.randint(3, (n,), generator=generator).to(device)


def noise(seed, n, restart):
    return example_streams(seed, f"start{restart}", range(n))


def both(captured, attack, twin, *, seed=0, n=SIZE, device="cpu"):
    """The images of the recording and of the loop."""
    images, labels = batch(seed, n, device)
    draws = partial(noise, seed, n)
    network = twin.network(images)
    return captured(attack, network, images, labels, noise=draws), attack(network, images, labels, noise=draws)


@pytest.mark.parametrize("ball", [LinfBall(0.1), L2Ball(0.5)])
@pytest.mark.parametrize("start", ["ball", "step", "zero"])
def test_one_recording_serves_every_batch_radius_step_and_weight(ball, start):
    double, model = Double(), net()
    captured, twin = CapturedAttack(SIZE, record=double), Twin(model)
    found = []
    for number in range(4):
        attack = PGD(ball.with_eps(ball.eps * (number + 1) / 4), steps=3, start=start, keep="last")
        ours, wanted = both(captured, attack, twin, seed=number)
        assert torch.equal(ours, wanted)
        found.append(ours)
        with torch.no_grad():
            model[4].weight.neg_()  # an update of the weights, with the sign of the gradient
    assert (double.recordings, double.replays) == (1, 4)
    assert all(torch.equal(kept, again) for kept, again in zip(found, list(found), strict=True))
    assert len({kept.data_ptr() for kept in found}) == 4  # no replay writes over what was given away
    absolute = PGD(ball, steps=3, step=0.01, start=start, keep="last")
    assert torch.equal(*both(captured, absolute, twin, seed=9))
    assert double.recordings == 1


def test_what_is_not_recorded_runs_step_by_step():
    attack = PGD(LinfBall(0.1), steps=3, keep="last")
    for number, (settings, n, record) in enumerate(
        [
            ({}, SIZE, False),  # the CPU
            ({}, SIZE - 2, True),  # a ragged last batch
            ({"keep": "best"}, SIZE, True),
            ({"restarts": 2}, SIZE, True),
        ]
    ):
        double = Double()
        captured = CapturedAttack(SIZE, record=double if record else None)
        one = PGD(attack.ball, **{"steps": 3, "keep": "last", **settings})
        assert torch.equal(*both(captured, one, Twin(net()), seed=number, n=n))
        assert double.recordings == 0


def test_a_net_with_hooks_runs_step_by_step_and_its_hook_sees_every_step():
    double, model, seen = Double(), net(), []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    captured = CapturedAttack(SIZE, record=double)
    assert torch.equal(*both(captured, PGD(LinfBall(0.1), steps=3, keep="last"), Twin(model)))
    assert (double.recordings, len(seen)) == (0, 6)


def test_a_net_that_waits_for_the_device_falls_back_once_and_says_so(caplog):
    tries = []

    def refuse(ascent):
        tries.append(ascent())
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    captured, twin = CapturedAttack(SIZE, record=refuse), Twin(net())
    with caplog.at_level("INFO", "landscape"):
        for seed in range(3):
            assert torch.equal(*both(captured, PGD(LinfBall(0.1), steps=3, keep="last"), twin, seed=seed))
    assert len(tries) == 1
    said = "the attack is not captured (operation not permitted when stream is capturing); it runs step by step"
    assert caplog.messages == [said]


def test_another_attack_is_recorded_anew():
    double = Double()
    captured, twin = CapturedAttack(SIZE, record=double), Twin(net())
    for steps in (2, 3):
        assert torch.equal(*both(captured, PGD(LinfBall(0.1), steps=steps, keep="last"), twin))
    assert double.recordings == 2


def test_nothing_records_on_the_cpu():
    assert recorder_for(torch.device("cpu")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("ball", [LinfBall(0.1), L2Ball(0.5)])
def test_a_cuda_graph_finds_the_images_of_the_loop(ball):
    model = net().cuda()
    captured, twin = CapturedAttack(SIZE, record=recorder_for(torch.device("cuda"))), Twin(model)
    for number in range(4):
        attack = PGD(ball.with_eps(ball.eps * (number + 1) / 4), steps=3, keep="last")
        ours, wanted = both(captured, attack, twin, seed=number, device="cuda")
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-6)
        with torch.no_grad():
            model[4].weight.neg_()
    assert captured._tape is not None
