"""A residual bounds an error only where H is symmetric: a product that is not is named, and no pair of it returned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.curvature import HessianOperator, top_eigenpairs
from landscape.errors import LandscapeError
from landscape.objective import Objective


class Tanh(torch.autograd.Function):
    """tanh for who differentiates once: of its derivative torch makes a constant, and says nothing."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y**2)


class OnceDifferentiable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Tanh.apply(x)


def test_a_wrong_second_derivative_is_named() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    images, labels = torch.rand(20, 6), torch.arange(20) % 3
    assert top_eigenpairs(HessianOperator(Objective(net, images, labels)), 3).converged
    net[1] = OnceDifferentiable()
    with pytest.raises(LandscapeError, match=r"products are not symmetric, by .* wrong second derivative"):
        top_eigenpairs(HessianOperator(Objective(net, images, labels)), 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rounding_of_a_symmetric_matrix_passes(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(60, 60, dtype=dtype, generator=generator)

    class Rounded:
        shape, device, dtype = (60, 60), torch.device("cpu"), square.dtype

        def __matmul__(self, v: Tensor) -> Tensor:
            return square @ (square.T @ v.to(square.dtype))  # symmetric but for the order of the sums

    assert top_eigenpairs(Rounded(), 20).converged


def test_a_float32_matrix_is_an_operator_too() -> None:
    matrix = torch.diag(torch.arange(1.0, 41.0))
    assert top_eigenpairs(matrix, 3).values == pytest.approx([40, 39, 38], rel=1e-5)
