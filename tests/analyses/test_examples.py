"""Terms by example in a Hessian result, against each example's own matrices, closed forms, and the net by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from landscape.analyses.examples import SHARPEST, margins
from landscape.analyses.hessian import hessian
from torch import Tensor, nn

from landscape.attacks import LinfBall, parse_attack
from landscape.curvature import directional_curvature
from landscape.data import ImageData, load_data, select
from landscape.errors import UsageError
from landscape.models import build_model
from landscape.objective import Objective
from landscape.results import Result, read_result
from landscape.results.describe import describe
from tests.problems import dense_hessian, fill

N = 40


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


def small_net(activation: str = "softplus") -> nn.Module:
    return fill(build_model(f"mlp:hidden=4,activation={activation}", seed=0)[0], scale=0.3).double()


def run(data: Any, **settings: Any) -> Result:
    net = settings.pop("net", None) or small_net()
    return hessian(net, data, **{"eps": 0.1, "top": 3, "n_examples": N, "per_example": 2} | settings)


def of(result: Result, name: str) -> np.ndarray:
    return result.arrays[f"examples/{name}"]


@pytest.fixture(scope="module")
def result(digits: ImageData) -> Result:
    return run(digits)


@pytest.fixture(scope="module")
def frozen(digits: ImageData) -> Objective:
    chosen = select(digits, N)
    attack = parse_attack("pgd", LinfBall(0.1))
    return Objective(small_net(), chosen.images, chosen.labels, attack=attack, indices=chosen.indices).freeze()


def test_the_terms_average_to_the_eigenvalues(result: Result, frozen: Objective) -> None:
    mean = of(result, "curvature").mean(1)
    assert mean.shape == (2,) and (np.abs(mean - result.eigenvalues[:2]) <= result.residuals[:2] + 1e-12).all()
    assert of(result, "gauss_newton").mean(1) == pytest.approx(result.gauss_newton[:2], rel=1e-12)
    # float32 vectors in the file: a quotient at its maximum is off by the square of that, a slope by the rounding.
    v = torch.from_numpy(result.eigenvectors[0]).double()
    assert mean[0] == pytest.approx(float(v @ dense_hessian(frozen) @ v), rel=1e-6)
    scale = result.gradient_norm
    assert of(result, "gradient").mean(1) == pytest.approx(result.gradient_projection[:2], abs=1e-12 * scale)


def test_each_term_is_the_example_s_own(result: Result, frozen: Objective) -> None:
    for i in (0, 7, N - 1):
        alone = Objective(frozen.model, frozen.images[i : i + 1], frozen.labels[i : i + 1])
        for pair in range(2):
            v = torch.from_numpy(result.eigenvectors[pair]).double()
            found = {name: of(result, name)[pair, i] for name in ("curvature", "gradient")}
            assert found["curvature"] == pytest.approx(float(v @ alone.product(alone.w0, v)), rel=1e-4, abs=1e-6)
            assert found["gradient"] == pytest.approx(float(alone.gradient() @ v), rel=1e-4, abs=1e-5)


def test_losses_margins_and_classes_are_those_of_the_net_called_by_hand(
    result: Result, frozen: Objective, digits: ImageData
) -> None:
    net = frozen.model.eval()
    with torch.no_grad():
        logits = net(frozen.images).tolist()
        clean = nn.functional.cross_entropy(
            net(digits.images[frozen.indices].double()), frozen.labels, reduction="none"
        )
    assert of(result, "index").tolist() == frozen.indices.tolist()
    for i, (row, y) in enumerate(zip(logits, frozen.labels.tolist(), strict=True)):
        others = [score for k, score in enumerate(row) if k != y]
        assert of(result, "label")[i] == y
        assert of(result, "predicted")[i] == max(range(10), key=row.__getitem__)
        assert of(result, "margin")[i] == pytest.approx(row[y] - max(others), rel=1e-12)
        assert row[of(result, "rival")[i]] == max(others) and of(result, "rival")[i] != y
    assert ((of(result, "margin") < 0) == (of(result, "predicted") != of(result, "label"))).all()
    assert (of(result, "margin") < 0).mean() == result.error_rate
    assert of(result, "loss") == pytest.approx(frozen.losses().numpy(), rel=1e-12)
    assert of(result, "clean_loss") == pytest.approx(clean.numpy(), rel=1e-12)


def test_the_images_are_those_of_the_sharpest_as_attacked(result: Result, frozen: Objective) -> None:
    order = np.argsort(-of(result, "curvature")[0])[:SHARPEST]
    assert of(result, "sharpest").tolist() == of(result, "index")[order].tolist()
    assert np.array_equal(of(result, "image"), frozen.images[order].float().numpy())
    negative = run((frozen.images, frozen.labels), which="sa", eps=0.0)  # there the sharpest bend down the most
    first = negative.arrays["examples/curvature"][0]
    assert negative.eigenvalues[0] < 0 and of(negative, "sharpest")[0] == np.argmin(first)


def test_a_loss_of_logits_bends_upwards() -> None:
    net = fill(build_model("mlp:hidden=4", seed=0)[0], scale=0.3).double()
    found = run(load_data("digits"), net=net)
    assert (of(found, "gauss_newton") >= 0).all() and (of(found, "curvature") != of(found, "gauss_newton")).any()


def test_a_linear_net_in_closed_form(digits: ImageData) -> None:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double(), scale=0.3)
    found = run(digits, net=net, eps=0.0)
    x = digits.images[torch.from_numpy(of(found, "index"))].double().flatten(1)
    with torch.no_grad():
        p = net(x).softmax(1).numpy()
    v = found.eigenvectors[0].astype(float)
    slope = x.numpy() @ v[:640].reshape(10, 64).T + v[640:]  # f' = V x + b
    expected = (p * slope**2).sum(1) - (p * slope).sum(1) ** 2  # f'(diag p - p p')f'
    assert of(found, "curvature")[0] == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert of(found, "gauss_newton") == pytest.approx(of(found, "curvature"), rel=1e-9, abs=1e-15)


def test_every_term_holds_the_weight_decay(digits: ImageData, result: Result) -> None:
    decayed = run(digits, weight_decay=0.2)
    # The same vectors up to the solver's error, which enters the terms of single examples in the first order.
    assert of(decayed, "curvature") == pytest.approx(of(result, "curvature") + 0.2, abs=1e-2)
    assert of(decayed, "curvature").mean(1) == pytest.approx(decayed.eigenvalues[:2], abs=1e-3)
    assert of(decayed, "gradient").mean(1) == pytest.approx(decayed.gradient_projection[:2], abs=1e-9)
    assert of(decayed, "loss") == pytest.approx(of(result, "loss"))


def test_of_a_block_of_parameters(digits: ImageData, frozen: Objective) -> None:
    found = run(digits, params="fc2.*")
    v = np.zeros(frozen.n_parameters)
    v[260:] = found.eigenvectors[0]
    curvature, *_ = directional_curvature(frozen, frozen.w0, torch.from_numpy(v))
    assert of(found, "curvature")[0] == pytest.approx(curvature.numpy(), rel=1e-4, abs=1e-6)


def test_outputs_that_are_no_scores_have_no_margin(digits: ImageData) -> None:
    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.flatten(1))

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return (outputs.squeeze(1) - labels).square()

    found = run(digits, net=fill(Line().double()), loss=loss, eps=0.0)
    told = {name.partition("/")[2] for name in found.arrays if name.startswith("examples/")}
    assert {"loss", "curvature", "image"} <= told and not {"margin", "predicted", "rival"} & told
    # Half a square's second derivative is 1: of (w'x + b - y)^2 along v it is twice the square of v'x.
    x = digits.images[torch.from_numpy(of(found, "index"))].flatten(1).double().numpy()
    v = found.eigenvectors[0].astype(float)
    assert of(found, "curvature")[0] == pytest.approx(2 * (x @ v[:64] + v[64]) ** 2, rel=1e-5)
    found.plot().canvas.draw()


def test_margins_by_hand() -> None:
    margin, rival = margins(torch.tensor([[3.0, 1.0, 2.5], [0.0, 0.0, -1.0]]), torch.tensor([0, 2]))
    assert margin.tolist() == [0.5, -1.0] and rival.tolist() == [2, 0]


def test_the_file_keeps_them_for_everybody(result: Result, tmp_path: Path) -> None:
    kept = read_result(path := result.save(tmp_path / "h.h5"))
    for name, array in result.arrays.items():
        assert np.array_equal(kept.arrays[name], array), name
    with xarray.open_dataset(path, group="examples", engine="h5netcdf") as found:
        assert found["curvature"].dims == ("pair", "index") and found["image"].dims[0] == "sharpest"
        np.testing.assert_array_equal(found["index"], of(result, "index"))
        sharpest = found.sel(index=found["sharpest"].values)  # by their place in the data set
        assert (np.diff(sharpest["curvature"][0]) <= 0).all()
    assert result.to_xarray()["examples_curvature"].dims == ("pair", "examples_index")
    told = dict(describe(path))
    assert told["examples/curvature"].startswith("(pair = 2, examples/index = 40) float64, nats: v'H_i v")


def test_nothing_is_kept_unasked(digits: ImageData, result: Result) -> None:
    plain = run(digits, per_example=0)
    assert not [name for name in plain.arrays if name.startswith("examples/")]
    for name, array in plain.arrays.items():
        assert np.array_equal(array, result.arrays[name]), name


@pytest.mark.parametrize(
    ("value", "says"), [(4, "more than the 3 eigenpairs"), (-1, "0 or more"), (1.5, "a whole number"), (True, "whole")]
)
def test_what_cannot_be_kept_is_refused(digits: ImageData, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run(digits, per_example=value)


def test_one_example_is_all_of_it(digits: ImageData) -> None:
    found = run(digits, n_examples=1)
    assert of(found, "sharpest").shape == (1,) and of(found, "curvature").shape == (2, 1)
    found.plot().canvas.draw()
