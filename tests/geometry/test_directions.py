import numpy as np
import pytest
import torch

from landscape.errors import UsageError
from landscape.geometry import directions_through, principal_directions, random_directions, unit_directions
from landscape.params import ParameterSpace
from tests.problems import lenet, resnet


def drawn(rows: int, size: int = 40, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("net", [lenet(), resnet()])
def test_every_filter_of_a_random_direction_is_as_long_as_the_net_s(net: torch.nn.Module) -> None:
    space = ParameterSpace(net)
    w = space.point(net)
    for row in random_directions(space, w, seed=3).vectors:
        for piece, weight in zip(space.split(row), space.split(w), strict=True):
            if weight.dim() == 1:
                assert not piece.any()  # biases and BatchNorm stay, exactly
            else:
                torch.testing.assert_close(piece.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))


def test_parameters_of_one_axis_move_as_a_whole_where_they_are_asked_to() -> None:
    net = resnet()
    space = ParameterSpace(net)
    w = space.point(net)
    row = random_directions(space, w, perturb_1d=True).vectors[0]
    for piece, weight in zip(space.split(row), space.split(w), strict=True):
        assert float(piece.norm()) == pytest.approx(float(weight.norm()))
        if weight.dim() == 1 and len(weight) > 2:  # not the weight itself, as where each scalar is its own filter
            assert abs(float(piece @ weight)) < 0.999 * float(weight @ weight)


def test_random_directions_are_gaussian_and_nearly_orthogonal() -> None:
    net = torch.nn.Linear(200, 1, bias=False).double()  # one filter: the direction is the draw, scaled
    space = ParameterSpace(net)
    w = torch.ones(200, dtype=torch.float64)
    rows = torch.cat([random_directions(space, w, seed=seed).vectors for seed in range(100)])
    # 40,000 draws of variance 1 (the norm is fixed at sqrt 200): mean within 4/200, fourth moment near 3.
    assert abs(float(rows.mean())) < 0.02
    assert float(rows.pow(2).mean()) == pytest.approx(1)
    assert float(rows.pow(4).mean()) == pytest.approx(3, abs=0.2)
    cosines = (rows[0::2] * rows[1::2]).sum(dim=1) / 200
    assert float(cosines.abs().max()) < 5 / np.sqrt(200)


def test_a_random_direction_is_a_function_of_seed_and_number_alone() -> None:
    net = lenet()
    space = ParameterSpace(net)
    w = space.point(net)
    torch.manual_seed(1)
    first = random_directions(space, w, seed=5).vectors
    torch.manual_seed(2)
    assert torch.equal(first[:1], random_directions(space, w, seed=5, count=1).vectors)
    assert not torch.equal(first, random_directions(space, w, seed=6).vectors)


def test_a_net_of_zero_weights_has_no_filter_norms() -> None:
    net = torch.nn.Linear(3, 2)
    with pytest.raises(UsageError, match="every weight that a random direction would move is zero"):
        random_directions(ParameterSpace(net), torch.zeros(8))


def test_a_line_through_two_points_and_a_plane_through_three_have_euclidean_coordinates() -> None:
    points = drawn(3)
    line = directions_through(points[:2], ["A", "B"])
    length = float((points[1] - points[0]).norm())
    torch.testing.assert_close(points[0] + length * line.vectors[0], points[1])
    plane = directions_through(points, ["A", "B", "C"])
    torch.testing.assert_close(plane.vectors @ plane.vectors.T, torch.eye(2, dtype=torch.float64))
    shift = points[2] - points[0]
    a, b = (plane.vectors @ shift).tolist()
    torch.testing.assert_close(a * plane.vectors[0] + b * plane.vectors[1], shift)
    assert b > 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [((0, 0), "A and B hold the same weights"), ((0, 1, 1), "A, B, C lie on one line")],
)
def test_points_that_coincide_or_lie_on_a_line_are_refused(rows: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        directions_through(drawn(2)[list(rows)], ["A", "B", "C"][: len(rows)])


def test_principal_directions_are_those_of_the_singular_value_decomposition() -> None:
    points = drawn(6)
    found = principal_directions(points)
    _, values, vectors = np.linalg.svd((points - points[-1]).numpy())
    for row, expected in zip(found.vectors.numpy(), vectors[:2], strict=True):
        assert abs(row @ expected) == pytest.approx(1)
    np.testing.assert_allclose(found.explained, (values**2 / (values**2).sum())[:2])


def test_a_run_within_a_plane_is_explained_by_it_and_by_no_third_direction() -> None:
    plane = drawn(2)
    points = drawn(5, 2, seed=1) @ plane
    assert sum(principal_directions(points).explained) == pytest.approx(1)
    with pytest.raises(UsageError, match="span fewer than 3 directions"):
        principal_directions(points, count=3)
    with pytest.raises(UsageError, match="2 principal directions need 3 or more"):
        principal_directions(points[:2])


def test_unit_directions_have_length_one_and_none_is_zero() -> None:
    found = unit_directions(5 * drawn(2), ["a", "b"])
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(2, dtype=torch.float64))
    with pytest.raises(UsageError, match="zero or not finite"):
        unit_directions(torch.zeros(1, 4), ["a"])
    with pytest.raises(UsageError, match=r"directions of shape \(3, 40\)"):
        unit_directions(drawn(3), ["a", "b", "c"])
