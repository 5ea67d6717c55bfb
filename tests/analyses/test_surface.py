import math
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses.surface import prepare, surface
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.errors import LandscapeError, UsageError
from landscape.geometry import random_directions
from landscape.objective import Objective
from landscape.params import ParameterSpace
from landscape.results import Result, read_result
from landscape.surfaces import Landmark, forecast
from tests.problems import assert_untouched, examples, fill, lenet, mlp, resnet, state_of

SMALL: dict[str, Any] = {"attack": "pgd:steps=2", "audited": 0, "grid": (3, 2), "range": ((-0.2, 0.1), (0.05, 0.3))}


def scanned(net: nn.Module, n: int = 10, **settings: Any) -> Result:
    return surface(net, examples(n), **{"eps": [0.0, 0.1], "directions": "random", **SMALL, **settings})


def moved(net: nn.Module, result: Result, a: float, b: float) -> nn.Module:
    """Return a net of the same form with its weights at (a, b), by nothing of the library's but the directions."""
    w = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    w = w + a * torch.from_numpy(result.directions[0]).to(w) + b * torch.from_numpy(result.directions[1]).to(w)
    nn.utils.vector_to_parameters(w, net.parameters())
    return net.eval()


@pytest.mark.parametrize("make", [lenet, resnet])
def test_each_value_is_what_a_net_with_these_weights_gives(make: Any) -> None:
    result = scanned(make())
    images, labels = examples(10)
    for row, b in enumerate(result.y):
        for column, a in enumerate(result.x):
            net = moved(make(), result, float(a), float(b))
            losses = nn.functional.cross_entropy(net(images), labels, reduction="none").detach()
            # The directions are stored in float32, the scan walked them in float64: 1e-7 of the weights.
            assert result.loss[0, row, column] == pytest.approx(float(losses.mean()), rel=1e-5)
            assert result.loss_se[0, row, column] == pytest.approx(float(losses.std()) / math.sqrt(10), rel=1e-5)
            assert result.error_rate[0, row, column] == float((net(images).argmax(1) != labels).double().mean())
            attacked = PGD(LinfBall(0.1), steps=2)(net, images, labels, generator=None)
            # Another random start than the scan's, and no pool: the same game, so nearly the same loss or less.
            assert (
                float(nn.functional.cross_entropy(net(attacked), labels).detach()) <= 1.1 * result.loss[1, row, column]
            )


def test_the_same_seed_gives_the_same_surface_whatever_the_batch() -> None:
    one, again, other = scanned(lenet()), scanned(lenet()), scanned(lenet(), batch_size=3)
    for name in ("loss", "error_rate", "status", "directions"):
        np.testing.assert_array_equal(one.arrays[name], again.arrays[name])
        np.testing.assert_allclose(one.arrays[name], other.arrays[name], rtol=1e-9)
    assert not np.array_equal(one.loss, scanned(lenet(), seed=1).loss)


def test_a_file_holds_what_the_notebook_had(tmp_path: Any) -> None:
    result = scanned(lenet(), landmarks=[Landmark("itself", lenet())])
    back = read_result(result.save(tmp_path / "s.h5"))
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(array, back.arrays[name])
    assert back.attrs["adversary"] == "reattacked"
    assert back.attrs["units"] == "filter norm"
    assert back.attrs["landmarks"] == "itself" or back.attrs["landmarks"] == ["itself"]
    assert result.to_xarray()["loss"].dims == ("eps", "y", "x")


def test_reattacked_is_never_below_frozen_and_frozen_is_what_the_hessian_saw() -> None:
    moving, held = scanned(lenet()), scanned(lenet(), adversary="frozen")
    assert (moving.loss >= held.loss).all()
    assert (moving.loss[1] > held.loss[1]).any()
    assert held.attrs["adversary"] == "frozen"
    np.testing.assert_allclose(moving.loss[0], held.loss[0])  # at eps 0 there is no adversary to move
    np.testing.assert_array_equal(moving.slope, held.slope)


def test_top2_are_the_eigenvectors_at_the_largest_radius() -> None:
    net = mlp(inputs=(1, 8, 8))
    result = scanned(net, directions="top2", eps=["0", 0.1])
    _, curvature = result.slope, result.curvature
    values = np.diag(curvature[1])
    assert values[0] >= values[1] > 0
    # Eigenvectors: no cross term, and Rayleigh quotients that no random direction beats.
    np.testing.assert_allclose(curvature[1][0, 1], 0, atol=1e-3 * values[0])
    np.testing.assert_allclose(result.gram, np.eye(2), atol=1e-6)
    assert result.attrs["direction_names"] == ["eigenvector 1", "eigenvector 2"]
    assert scanned(net, directions="random").curvature[1, 0, 0] < values[0] * float(
        scanned(net, directions="random").gram[0, 0]
    )


def test_a_line_has_one_row_and_no_second_direction() -> None:
    net = lenet()
    result = surface(
        net, examples(6), eps=0.0, directions=torch.randn(ParameterSpace(net).n_parameters), grid=5, range=0.5
    )
    assert result.loss.shape == (1, 1, 5)
    np.testing.assert_array_equal(result.y, [0])
    assert np.isnan(result.directions[1]).all()
    assert np.isnan(result.gram[1]).all()
    assert np.isnan(result.slope[:, 1]).all()
    assert np.linalg.norm(result.directions[0]) == pytest.approx(1, rel=1e-6)


def test_the_centre_is_the_net_itself() -> None:
    net = resnet()
    result = scanned(net, range=1.0, grid=(3, 3))
    clean = Objective(net, *examples(10))
    assert result.centre_loss[0] == pytest.approx(clean.value())
    np.testing.assert_array_equal(result.loss[:, 1, 1], result.centre_loss)
    np.testing.assert_array_equal(result.error_rate[:, 1, 1], result.centre_error_rate)


def test_landmarks_lie_where_they_project_to_and_are_judged_as_they_are() -> None:
    net, other = resnet(seed=0), resnet(seed=1)
    result = scanned(net, landmarks=[Landmark("start", other), Landmark("itself", net)])
    assert result.arrays["landmarks/loss"][0, 0] == pytest.approx(Objective(other, *examples(10)).value())
    x, y, off = (result.arrays[f"landmarks/{name}"] for name in ("x", "y", "off_plane"))
    np.testing.assert_allclose([x[1], y[1], off[1]], 0, atol=1e-9)
    space = ParameterSpace(net)
    shift = space.point(other) - space.point(net)
    rows = torch.from_numpy(result.directions).double()
    within = float((x[0] * rows[0] + y[0] * rows[1]).norm())
    assert math.hypot(within, off[0]) == pytest.approx(float(shift.norm()), rel=1e-5)  # Pythagoras


@pytest.mark.parametrize("policy", ["clean-recal", "adv-recal"])
def test_recalibrated_statistics_are_those_of_the_net_at_each_point(policy: str) -> None:
    net = resnet()
    frozen, moving = scanned(net), scanned(net, batchnorm=policy)
    assert moving.attrs["batchnorm"] == policy
    assert moving.attrs["recalibration_examples"] == 10
    assert not np.allclose(frozen.loss, moving.loss)
    assert np.isnan(moving.curvature).all()
    assert scanned(lenet(), batchnorm=policy).attrs["batchnorm"] == "none"


def test_statistics_may_come_from_other_examples() -> None:
    net = resnet()
    own = scanned(net, batchnorm="clean-recal")
    others = scanned(net, batchnorm="clean-recal", recalibrate_on=examples(30, seed=3))
    assert others.attrs["recalibration_examples"] == 30
    assert not np.allclose(own.loss, others.loss)


def test_what_overflows_is_kept_and_marked() -> None:
    result = scanned(fill(lenet()), eps=0.0, range=((-1e200, 1e200), (-1, 1)), grid=(3, 1))
    assert not np.isfinite(result.loss[0, 0, [0, 2]]).any()
    assert np.isfinite(result.loss[0, 0, 1])
    assert list(result.status[0, 0]) == [2, 1, 2]


def test_the_net_is_left_as_it_was_also_when_a_point_fails() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = resnet()
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 40:
                raise KeyboardInterrupt
            outputs: Tensor = self.net(x)
            return outputs

    for net, failure in ((resnet().train(), None), (Failing(), KeyboardInterrupt)):
        before = state_of(net)
        if failure is None:
            scanned(net, batchnorm="adv-recal")
        else:
            with pytest.raises(failure):
                scanned(net, batchnorm="adv-recal")
        assert_untouched(net, before)


def test_memory_is_flat_in_the_number_of_points() -> None:
    """No point's weights, images or graphs outlive it: as many tensors are alive after 3 points as after 12."""
    import gc

    def alive(grid: tuple[int, int]) -> int:
        made = prepare(lenet(), examples(4), eps=[0.0, 0.1], directions="random", attack="pgd:steps=1")
        for number in range(grid[0] * grid[1]):
            made.points.values(0.01 * number, 0.0)
        gc.collect()
        return sum(issubclass(type(found), Tensor) for found in gc.get_objects())

    alive((1, 1))  # caches fill once
    assert abs(alive((3, 1)) - alive((4, 3))) <= 2


def test_a_forecast_counts_every_pass() -> None:
    calls = {"forward": 0}

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = lenet()

        def forward(self, x: Tensor) -> Tensor:
            calls["forward"] += len(x)
            outputs: Tensor = self.net(x)
            return outputs

    made = prepare(Counted(), examples(6), eps=[0.0, 0.05, 0.1], directions="random", attack="pgd:steps=4,restarts=2")
    calls["forward"] = 0
    told = forecast(made.points, (5, 3))
    # Each attack step is a forward and a backward pass: half of those are seen here.
    backward = 2 * 2 * 4 * 6
    assert told.points == 15
    assert told.passes == 15 * (calls["forward"] + backward)
    assert told.seconds > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": [0.1, 0.1]}, r"a radius came twice among 0.1, 0.1; give each once"),
        ({"eps": []}, "no radius came"),
        ({"eps": 3}, "eps = 3 .*did you mean 3/255"),
        ({"directions": "top3"}, "directions 'top3' are unknown; did you mean top"),
        ({"directions": torch.zeros(2, 1539)}, "a direction is zero or not finite"),
        ({"directions": torch.ones(2, 1539)}, "parallel"),
        ({"directions": torch.ones(2, 7)}, "give directions of the same net"),
        ({"adversary": "moving"}, "adversary 'moving' is unknown"),
        ({"batchnorm": "none"}, "BatchNorm policy 'none' is unknown"),
        ({"cap": -1}, "cap = -1; wanted a positive loss"),
        ({"grid": (0, 5)}, "grid = 0"),
        ({"range": "wide"}, "range 'wide' is unknown"),
        ({"range": ((1.0, 0.0), (0.0, 1.0))}, "is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scanned(lenet(), **settings)


def test_a_net_whose_own_loss_is_not_finite_has_no_surroundings() -> None:
    net = lenet()
    with torch.no_grad():
        next(net.parameters()).fill_(math.inf)
    space = ParameterSpace(net)
    chosen = random_directions(space, torch.ones(space.n_parameters, dtype=torch.float64))
    with pytest.raises(LandscapeError, match="not finite; check the net before its surroundings"):
        scanned(net, directions=chosen)
