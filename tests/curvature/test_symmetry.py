"""A residual bounds an error only where H is symmetric: a product that is not is named, and no pair of it returned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.curvature import HessianOperator, top_eigenpairs
from landscape.errors import LandscapeError
from landscape.objective import Objective


def test_a_wrong_second_derivative_is_named() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    images, labels = torch.rand(20, 6), torch.arange(20) % 3
    assert top_eigenpairs(HessianOperator(Objective(net, images, labels)), 3).converged
    nn.utils.parametrizations.weight_norm(net[0])  # its double backward is wrong in torch 2.13
    with pytest.raises(LandscapeError, match="products are not symmetric, by .* weight_norm"):
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
