"""What a recheck recomputes besides the main numbers: honest it passes, forged it is named, and what is not is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape
from landscape import rechecks
from landscape.evaluation import adequacy
from landscape.rechecks import Recheck
from landscape.results import Result

Edit = Callable[[Result], Any]


def net(seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 3))
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(0.7 * torch.randn(value.shape, generator=generator))
    return made.eval()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(24, 1, 2, 2, generator=generator), torch.arange(24) % 3


NETS = [net(0), net(1)]
FEW: dict[str, Any] = {"eps": 0.05, "attack": "pgd:steps=3,rel_step=0.5,restarts=1"}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Let attacks that are to be stronger be only a little so: what is recomputed is the same as was computed."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (adequacy, "MORE_STEPS", 6),
            (adequacy, "MORE_RESTARTS", 2),
            (adequacy, "RANDOM_POINTS", 4),
            (import_module("landscape.surfaces.audit"), "STEPS", 6),
            (import_module("landscape.surfaces.audit"), "QUERIES", 6),
            (rechecks, "NUDGES", 1),
        ):
            patch.setattr(module, name, value)
        yield


@pytest.fixture(scope="module")
def made(quick: None) -> dict[str, Result]:
    images = data()
    return {
        "hessian": landscape.hessian(
            NETS[0], images, top=4, density=True, sizes=(10, 16), adversary="reattack", h=(0.05, 0.1, 0.2), **FEW
        ),
        "surface": landscape.surface(
            NETS[0], images, directions="random", grid=(3, 2), range=0.3, audited=2, audit_examples=10, **FEW
        ),
        "connect": landscape.connect(*NETS, images, curve="line", points=3, lambda_1=True, **FEW),
        "evaluate": landscape.evaluate(
            NETS[0], images, eps=0.05, attacks="clean,pgd5,apgd-ce:steps=3,square:queries=5", curve=True
        ),
        "scattering": landscape.scattering(NETS[0], images, radii=(0.1, 0.2), single=2, **FEW),
    }


@pytest.fixture
def recheck(made: dict[str, Result], tmp_path: Path) -> Callable[[str, Edit | None], Recheck]:
    def check(kind: str, edit: Edit | None = None) -> Recheck:
        held = made[kind]
        result = Result(kind, {name: array.copy() for name, array in held.arrays.items()}, dict(held.attrs))
        if edit is not None:
            edit(result)
        nets = NETS if kind == "connect" else NETS[0]
        return landscape.recheck(result.save(tmp_path / f"{kind}.h5", overwrite=True), model=nets, data=data())

    return check


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        ("hessian", ("density/nodes", "by_size/eigenvalues", "reattack/curvature, mean of 24 examples")),
        ("surface", ("attack_gap", "zero_gradient", "gram")),
        ("connect", ("lambda_1", "gradient_norm", "curve_length")),
        ("scattering", ("single/gradient_norm", "single_index")),
        ("evaluate", ("curve/error_rate of Sequential", "adequacy of Sequential")),
    ],
)
def test_an_honest_file_passes(kind: str, groups: tuple[str, ...], recheck: Callable[..., Recheck]) -> None:
    found = recheck(kind)
    assert found.passed, found.differing
    assert set(groups) <= {check.group for check in found.checks}
    assert found.aside[-1].startswith("how the nets were trained") and not found.across


def scale(name: str, factor: float, place: Any = ...) -> Edit:
    def edit(result: Result) -> None:
        result.arrays[name][place] *= factor

    return edit


def say(name: str, value: Any) -> Edit:
    return lambda result: result.attrs.__setitem__(name, value)


FORGED: dict[str, dict[str, Edit]] = {
    "hessian": {
        "density/nodes": scale("density/nodes", 0.5, slice(-48, -36)),
        "trace of the density": say("trace", 0.0),
        "density, largest change of its values": scale("density/values", 0.5),
        "by_size/eigenvalues": scale("by_size/eigenvalues", 0.9, slice(0, 2)),
        "by_size/eigenvalue_se of all": scale("by_size/eigenvalue_se", 0.9, 2),
        "reattack/curvature, mean of 24 examples": scale("reattack/curvature", 2.0),
    },
    "surface": {"attack_gap": scale("attack_gap", 0.0), "gram": scale("gram", 2.0)},
    "connect": {"lambda_1": scale("lambda_1", 0.5), "line_length": say("line_length", 1.0)},
    "scattering": {
        "single/gradient_norm": scale("single/gradient_norm", 0.5),
        "box_cosine beside its examples'": scale("examples/box_cosine", 0.5),
    },
    "evaluate": {
        "curve/error_rate of Sequential": scale("curve/error_rate", 0.5),
        "adequacy of Sequential": say("verdicts", ["adequate: trust me"]),
    },
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_forged_is_named(kind: str, recheck: Callable[..., Recheck]) -> None:
    def edit(result: Result) -> None:
        for one in FORGED[kind].values():
            one(result)

    assert set(FORGED[kind]) <= {check.group for check in recheck(kind, edit).differing}


def test_what_is_not_recomputed_is_said(recheck: Callable[..., Recheck]) -> None:
    def fewer(result: Result) -> None:
        result.arrays["eigenvectors"] = result.arrays["eigenvectors"][:2]

    told = recheck("hessian", fewer).aside
    assert told[:2] == [
        "the density, for not all eigenvectors are in the file",
        "eigenvalues whose eigenvectors are not in the file, and whether the list is complete",
    ]


def test_across_devices_tolerances_are_wider_by_what_is_stated(recheck: Callable[..., Recheck]) -> None:
    """A file of a GPU, which is not here: what differs by three roundings passes, what differs by more is named."""

    def of_cuda(factor: float) -> Edit:
        def edit(result: Result) -> None:
            result.attrs["device"] = "cuda:0"
            result.arrays["centre_loss"] *= factor

        return edit

    def checked(edit: Edit) -> tuple[bool, float]:
        found = recheck("surface", edit)
        (centre,) = [check for check in found.checks if check.group == "centre_loss"]
        return centre.passed, centre.tolerance

    here = recheck("surface")
    (own,) = [check for check in here.checks if check.group == "centre_loss"]
    assert checked(of_cuda(1 + 6e-5)) == (True, pytest.approx(rechecks.ACROSS * own.tolerance, rel=1e-3))
    assert not checked(of_cuda(1 + 1e-3))[0]
    # What follows from other numbers of the file is no wider.
    there = recheck("surface", of_cuda(1.0))
    assert there.across == "made on cuda, rechecked on cpu"
    gram = [check for check in there.checks if check.group == "gram"]
    assert np.isclose(gram[0].tolerance, next(check for check in here.checks if check.group == "gram").tolerance)
