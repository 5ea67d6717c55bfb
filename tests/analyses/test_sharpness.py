"""Sharpness of a net: against dense Hessians, quadratics and the Hessian analysis; resumed to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape import hessian, sharpness
from landscape.errors import UsageError
from landscape.geometry.directions import random_direction
from landscape.objective import Objective
from landscape.results import Result, read_result
from tests.problems import assert_untouched, dense_hessian, examples, mlp, state_of

QUICK = {"random_radii": (1e-3, 0.1), "worst_radii": (0.01, 0.05), "directions": 2, "n_examples": "all"}


def measured(net: nn.Module, n: int = 24, *, eps: Any = (0.0, 0.05), **settings: Any) -> Result:
    return sharpness(net, examples(n, (1, 2, 3)), eps=eps, **{**QUICK, **settings})


def test_curvature_is_the_dense_hessians() -> None:
    net = mlp((5,))
    result = measured(net, eps=0.0)
    dense = dense_hessian(Objective(net, *examples(24, (1, 2, 3))))
    values = torch.linalg.eigvalsh(dense)
    assert result.lambda_1[0] == pytest.approx(float(values[-1]), rel=1e-6)
    assert result.trace_low[0] <= float(values.sum()) <= result.trace_high[0]
    assert result.lambda_1_residual[0] <= 1e-3 * result.lambda_1[0]
    assert result.pair_status.tolist() == [1]
    assert result.attrs["weight_norm"] == pytest.approx(
        float(torch.cat([p.detach().flatten() for p in net.parameters()]).norm())
    )


def test_every_radius_is_measured_by_itself_and_as_the_hessian_command_does() -> None:
    net = mlp((5,))
    both = measured(net)
    for number, eps in enumerate(both.eps):
        alone = measured(net, eps=float(eps))
        for name, array in alone.arrays.items():
            if array.shape[:1] == (1,) and not name.endswith("radius"):
                np.testing.assert_array_equal(both.arrays[name][number], array[0], err_msg=name)
        whole = hessian(net, examples(24, (1, 2, 3)), eps=float(eps), top=1, n_examples="all")
        assert both.lambda_1[number] == pytest.approx(whole.eigenvalues[0], rel=1e-5)
        assert both.lambda_1_se[number] == pytest.approx(whole.eigenvalue_se[0], rel=1e-2)
        assert both.loss[number] == pytest.approx(whole.attrs["loss"], rel=1e-12)


def test_small_random_rises_are_half_of_the_curvature_along_them() -> None:
    """The mean over +d and -d has no first-order part; on a smooth net what is left is r^2 d'Hd / 2 up to r^4."""
    net = mlp((5,))
    result = measured(net, eps=0.0)
    objective = Objective(net, *examples(24, (1, 2, 3)))
    dense, w0 = dense_hessian(objective), objective.w0
    for number in range(2):
        d = random_direction(objective.space, w0, number, seed=0)
        expected = 0.5 * 1e-6 * float(d @ dense @ d)
        assert result.random_rises[0, 0, number] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(result.random_rise[0], result.random_rises[0].mean(axis=1), rtol=1e-12)
    spread = result.random_rises[0].std(axis=1, ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(result.random_rise_se[0], spread, rtol=1e-12)


def test_a_rise_of_no_distance_is_none_under_attack_too() -> None:
    """Attacked from the same start at the net and beside it, with nothing more in the pool on one side."""
    result = measured(mlp((5,)), random_radii=(1e-9,), worst_radii=(1e-9,))
    np.testing.assert_allclose(result.random_rise, 0, atol=1e-10)
    np.testing.assert_allclose(result.worst_rise, 0, atol=1e-7)


def test_rises_are_attacked_and_the_worst_is_beyond_the_random() -> None:
    net = mlp((6,), activation="relu")
    before = state_of(net)
    result = measured(net, random_radii=(0.05,), worst_radii=(0.05,))
    assert_untouched(net, before)
    assert (result.worst_rise[:, 0] > result.random_rise[:, 0]).all()
    np.testing.assert_allclose(result.worst_rise[0], result.worst_rise_frozen[0], rtol=1e-9)  # no attack at eps 0
    assert (result.worst_rise_gap >= 0).all()


class Stops(Exception):
    """A run that is killed."""


class Kept:
    """A snapshot in memory that ends the run after some measurements."""

    def __init__(self, after: int) -> None:
        self.kept: dict[str, np.ndarray] | None = None
        self.left = after

    def load(self) -> dict[str, np.ndarray] | None:
        return self.kept

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self.kept = {name: np.array(value) for name, value in state().items()}
        self.left -= 1
        if not self.left:
            raise Stops


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_resumed_run_is_the_uninterrupted_one(after: int) -> None:
    net = mlp((5,))
    whole = measured(net)
    snapshot = Kept(after)
    with pytest.raises(Stops):
        measured(net, snapshot=snapshot)
    snapshot.left = -1
    resumed = measured(net, snapshot=snapshot)
    assert set(whole.arrays) == set(resumed.arrays)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)


def test_what_is_not_asked_for_is_not_there(tmp_path: Any) -> None:
    result = measured(mlp((5,)), measures=("lambda_1",), eps=0.0)
    assert not {"trace", "random_rise", "worst_rise", "random_radius"} & set(result.arrays)
    assert result.attrs["adversary"] == "none"
    assert measured(mlp((5,)), measures=("lambda_1",)).attrs["adversary"] == "frozen"
    path = result.save(tmp_path / "s.h5")
    again = read_result(path)
    np.testing.assert_equal(again.attrs, result.attrs)
    result.to_xarray()


def test_a_constant_classifier_says_so_and_has_no_curvature() -> None:
    net = mlp((5,))
    with torch.no_grad():
        last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        last.weight.zero_()
        last.bias.zero_()
    result = measured(net, measures=("lambda_1", "trace", "random_rise"), eps=0.05)
    assert result.attrs["collapsed"] is True
    assert np.isfinite(result.lambda_1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measures": ("lambda_1", "tracee")}, "measure 'tracee' is unknown; did you mean trace"),
        ({"measures": ("trace",)}, "lambda_1 is part of every sharpness result"),
        ({"random_radii": ()}, "random_radii is empty"),
        ({"worst_radii": (-0.1,)}, "worst_radii = -0.1; wanted a finite positive number"),
        ({"directions": 1}, "directions = 1; wanted a whole number, 2 or more"),
        ({"starts": 0}, "starts = 0; wanted a whole number, 1 or more"),
        ({"probes": 0}, "probes = 0; wanted a whole number, 2 or more"),
        ({"eps": "4"}, "did you mean 4/255"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        measured(mlp((5,)), **settings)
