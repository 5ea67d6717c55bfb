"""What a GPU computes is what the CPU computes: products, eigenpairs and the command, recorded as graphs or not."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.attacks import PGD, LinfBall
from landscape.capture import CudaRecorder, Replayed
from landscape.curvature import HessianOperator, top_eigenpairs
from landscape.objective import Objective
from landscape.results import read_result
from tests.commands.runner import SMALL, landscape
from tests.problems import examples, fill, lenet, mlp, resnet

pytestmark = pytest.mark.cuda

PRODUCT = 1e-5  # of ||Hv||: float32 sums in another order; TF32 would give 1e-3
MAKERS = [mlp, lenet, resnet]


def pair(make: object, dtype: torch.dtype) -> tuple[Objective, Objective]:
    """Return the same frozen objective on the CPU and on the GPU."""
    shape = (1, 2, 3) if make is mlp else (1, 8, 8)
    net = fill(make(dtype=dtype), scale=0.3)  # type: ignore[operator]
    images, labels = examples(40, shape, dtype=dtype)
    frozen = Objective(net, images, labels, attack=PGD(LinfBall(0.1), steps=2)).freeze()
    there = Objective(copy.deepcopy(net).cuda(), frozen.images, labels)
    return frozen, there


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_on_a_gpu(make: object, dtype: torch.dtype) -> None:
    here, there = pair(make, dtype)
    H, G = HessianOperator(here), HessianOperator(there)
    G._replayed._recorder = Always(there.device) if G._recorder is not None else None
    G._recorder = G._replayed._recorder
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):  # the last three are replays
        v = torch.randn(here.n_parameters, generator=generator, dtype=dtype)
        expected, found = H @ v, (G @ v.cuda()).cpu()
        assert (found - expected).norm() <= (PRODUCT if dtype is torch.float32 else 1e-12) * expected.norm()
    assert G._replayed.recorded


class Always(CudaRecorder):
    """A recorder that finds everything worth recording, however fast the machine."""

    def pays(self, work):  # type: ignore[no-untyped-def]
        super().pays(work)
        return True


def test_work_that_waits_for_the_host_is_not_recorded() -> None:
    x = torch.arange(4.0, device="cuda")
    work = Replayed(lambda x: x * x.sum().item(), Always(x.device))
    for _ in range(4):
        assert torch.equal(work(x), x * 6)
    assert not work.recorded


def test_eigenpairs_on_a_gpu() -> None:
    here, there = pair(lenet, torch.float32)
    ours, theirs = (top_eigenpairs(HessianOperator(one), 10, generator=torch.Generator()) for one in (here, there))
    assert theirs.converged
    assert np.allclose(theirs.values, ours.values, atol=2 * (ours.residuals + theirs.residuals).max())


def test_the_command_on_a_gpu() -> None:
    for device in ("cpu", "cuda"):
        done = landscape("hessian", "digits/eps0.1", *SMALL, "--density", "--device", device, "--out", f"{device}.h5")
        assert done.code == 0
    cpu, gpu = read_result(Path("cpu.h5")), read_result(Path("cuda.h5"))
    # The attack is one of signs: a gradient at rounding may turn a pixel, and so moves lambda a little.
    assert gpu.eigenvalues == pytest.approx(cpu.eigenvalues, rel=1e-3)
    assert gpu.attrs["loss"] == pytest.approx(cpu.attrs["loss"], rel=1e-4)
    assert gpu.attrs["frobenius"] == pytest.approx(cpu.attrs["frobenius"], rel=1e-3)


def test_a_result_of_one_device_is_rechecked_on_the_other() -> None:
    words = {
        "hessian": SMALL,
        "surface": ("--dirs", "random", "--grid", "3x3", "--range", "0.2", "--n-examples", "64", "--audit", "0"),
        "evaluate": ("--attacks", "clean,pgd20,apgd-ce:steps=20", "--n-examples", "60", "--no-adequacy"),
    }
    for made, checked in (("cpu", "cuda"), ("cuda", "cpu")):
        for kind, settings in words.items():
            path = f"{made}-{kind}.h5"
            assert landscape(kind, "digits/eps0.1", *settings, "--device", made, "--out", path).code == 0
            done = landscape("recheck", path, "--device", checked, "--sample", "all")
            assert done.code == 0, done.out
