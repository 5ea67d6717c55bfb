"""The first convolution without work towards the images: the same function and Hessian, and no other convolution's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.curvature import HessianOperator
from landscape.curvature.first_convolution import OnData
from landscape.objective import Objective
from tests.problems import CLASSES, dense_hessian, examples, fill, lenet, resnet


def net(**geometry: object) -> nn.Module:
    """Return a net of two convolutions, the first of two channels and of this geometry."""
    first = nn.Conv2d(2, 4, (3, 1), **geometry)  # type: ignore[arg-type]
    body = nn.Sequential(first, nn.Tanh(), nn.Conv2d(4, 2, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return fill(nn.Sequential(body, nn.Linear(8, CLASSES)).double())


def nodes_behind(value: Tensor) -> list[str]:
    """Return the names of all operations that a tensor comes from."""
    seen, names = {value.grad_fn}, []
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        names.append(type(node).__name__)
        for other, _ in node.next_functions:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return names


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"bias": False},
        {"stride": 2, "padding": 1},
        {"stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)},
        {"groups": 2},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "circular"},
    ],
    ids=str,
)
def test_products_are_those_of_the_dense_hessian(geometry: dict[str, object]) -> None:
    objective = Objective(net(**geometry), *examples(5, (2, 7, 6)), batch_size=3)
    H = HessianOperator(objective)
    eye = torch.eye(objective.n_parameters, dtype=torch.float64)
    dense = dense_hessian(objective)
    assert (H @ eye - dense).norm() <= 1e-13 * dense.norm()


def test_only_the_first_convolution_is_another() -> None:
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    for make, convolutions in ((lenet, 2), (resnet, 6)):
        model = fill(make()).eval()
        with OnData():
            mine = nodes_behind(model(images))
        plain = nodes_behind(model(images))
        assert mine.count("_ConvolutionBackward") == 1 and plain.count("_ConvolutionBackward") == 0
        assert mine.count("ConvolutionBackward0") == convolutions - 1 == plain.count("ConvolutionBackward0") - 1


def test_images_that_need_a_gradient_get_theirs() -> None:
    model, images = fill(net()), torch.rand(2, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(model(images).sum(), images)
    with OnData():
        (found,) = torch.autograd.grad(model(images).sum(), images)
        held = model.requires_grad_(False)(images.detach())
    assert torch.equal(found, expected) and not held.requires_grad


def test_its_derivatives_are_right_by_differences() -> None:
    images = torch.rand(2, 2, 5, 5, dtype=torch.float64)
    weight, bias = torch.rand(4, 1, 2, 2, dtype=torch.float64), torch.rand(4, dtype=torch.float64)

    def convolve(weight: Tensor, bias: Tensor) -> Tensor:
        with OnData():
            return nn.functional.conv2d(images, weight, bias, 1, 1, 2, 2).tanh()

    inputs = (weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(convolve, inputs) and torch.autograd.gradgradcheck(convolve, inputs)
