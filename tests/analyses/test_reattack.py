"""The re-attacked curvature in Python: directions given, blocks, weight decay, and a quantity to compare by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses.hessian import hessian
from torch import nn

from landscape.data import load_data
from landscape.errors import ResultError, UsageError
from landscape.models import build_model
from landscape.results import Result
from landscape.results.kinks import Verdict, census, excess
from landscape.results.quantities import Choice, measure
from tests.problems import fill

H = (0.01, 0.03, 0.1)


def net() -> nn.Module:
    return fill(build_model("mlp:hidden=4,activation=softplus", seed=0)[0], scale=0.3).double()


def run(model: nn.Module | None = None, **settings: Any) -> Result:
    given = {"eps": 0.1, "top": 2, "n_examples": 12, "adversary": "reattack", "h": H}
    return hessian(model or net(), load_data("digits"), **given | settings)


@pytest.fixture(scope="module")
def result() -> Result:
    return run()


def test_a_smooth_net_held_has_the_curvature_of_its_eigenvector(result: Result, tmp_path: Path) -> None:
    told = census(result)
    assert told.frozen[0] == pytest.approx(
        result.eigenvalues[0], rel=0.05
    )  # the pool's best may differ from the attack's
    assert (excess(result) >= -1e-9).all()
    assert told.excess[0] == pytest.approx(excess(result)[0].mean())
    assert result.attrs["adversary"] == "reattacked"
    parts = excess(result)[1]
    choice = Choice.of([result], quantity="added", at=0.03)
    path = result.save(tmp_path / "r.h5")
    value, by_example, _ = measure(path, result, 0.1, choice, 0)
    assert value == pytest.approx(parts.mean())
    np.testing.assert_allclose(by_example, parts)
    shares = measure(path, result, 0.1, Choice.of([result], quantity="kinks", at=None), 0)[0]
    assert shares == (result.arrays["reattack/verdict"][0, 1] == Verdict.KINK).mean()
    relative = measure(path, result, 0.1, Choice.of([result], quantity="added/lambda_1", at=0.03), 0)[0]
    assert relative == pytest.approx(value / result.eigenvalues[0])
    with pytest.raises(ResultError, match=r"has steps h of 0.01, 0.03, 0.1, and not 0.2; give --at one of them"):
        measure(path, result, 0.1, Choice.of([result], quantity="added", at=0.2), 0)


def test_directions_may_be_given_and_only_their_length_is_left_aside(result: Result) -> None:
    v = torch.from_numpy(result.eigenvectors[:1]).double()
    given = run(along=3 * v)
    assert given.arrays["reattack/direction"].tolist() == [0]
    np.testing.assert_allclose(given.arrays["reattack/frozen"], result.arrays["reattack/frozen"], rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="direction 1 has length 0; wanted a positive one"):
        run(along=0 * v)
    with pytest.raises(UsageError, match="along = 3; wanted 1 to 2 of the eigenvectors"):
        run(along=3)
    with pytest.raises(UsageError, match=r"directions of shape \(5,\) came; wanted \(k, 310\)"):
        run(along=torch.ones(5))


def test_a_weight_decay_is_in_every_curvature_and_adds_nothing_to_what_is_added(result: Result) -> None:
    v = torch.from_numpy(result.eigenvectors[:1]).double()
    bare, decayed = run(along=v), run(along=v, weight_decay=0.5)
    for name in ("curvature", "frozen", "raw"):
        np.testing.assert_allclose(
            decayed.arrays[f"reattack/{name}"], bare.arrays[f"reattack/{name}"] + 0.5, rtol=1e-9, atol=1e-9
        )
    np.testing.assert_allclose(excess(decayed), excess(bare), atol=1e-9)


def test_a_block_and_what_cannot_be_meant() -> None:
    block = run(params="fc2.*")
    assert block.arrays["reattack/verdict"].shape == (1, 3, 12)
    with pytest.raises(UsageError, match="adversary 'moving' is unknown"):
        run(adversary="moving")
    with pytest.raises(UsageError, match="at eps 0 there is no adversary to attack anew"):
        run(eps=0)
