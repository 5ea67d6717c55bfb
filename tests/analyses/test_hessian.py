"""The Hessian analysis end to end: its result against dense matrices, its complaints, its way back from a snapshot."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses.hessian import hessian
from torch import nn

from landscape.attacks import PGD, L2Ball, LinfBall, parse_attack
from landscape.data import ImageData, as_data, load_data, select
from landscape.errors import LandscapeError, NotConverged, UsageError
from landscape.models import build_model
from landscape.objective import Objective
from landscape.results import Result, read_result
from tests.problems import assert_untouched, dense_hessian, fill, resnet, state_of


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


def small_net(*, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    return fill(build_model("mlp:hidden=4,activation=softplus", seed=seed)[0], scale=0.3).to(dtype)


def run(data: Any, **settings: Any) -> Result:
    return hessian(
        settings.pop("net", None) or small_net(), data, **{"eps": 0.1, "top": 4, "n_examples": 50} | settings
    )


@pytest.fixture(scope="module")
def result(digits: ImageData) -> Result:
    return run(digits)


@pytest.fixture(scope="module")
def frozen(digits: ImageData) -> Objective:
    chosen = select(digits, 50)
    attack = parse_attack("pgd", LinfBall(0.1))
    return Objective(small_net(), chosen.images, chosen.labels, attack=attack, indices=chosen.indices).freeze()


def test_pairs_and_evidence_are_those_of_the_dense_hessian(result: Result, frozen: Objective) -> None:
    H = dense_hessian(frozen)
    values, vectors = torch.linalg.eigh(H)
    assert np.allclose(result.eigenvalues, values.flip(0)[:4], rtol=1e-5)
    assert (np.abs(result.eigenvalues - values.flip(0)[:4].numpy()) <= result.residuals + 1e-12).all()
    g = frozen.gradient()
    examples = zip(frozen.images.split(1), frozen.labels.split(1), strict=True)
    alone = [Objective(frozen.model, image, label) for image, label in examples]
    for i in range(4):
        v = torch.from_numpy(result.eigenvectors[i]).double()
        assert float((v @ vectors.flip(1)[:, i]).abs()) == pytest.approx(1, abs=1e-5)
        # By hand: each example's own Hessian, the sample deviation over 50 of them, and its share in the mean.
        own = torch.stack([v @ one.product(one.w0, v) for one in alone])
        assert result.eigenvalue_se[i] == pytest.approx(float(own.std()) / math.sqrt(50), rel=1e-4)
        # float32 vectors in the result: a slope across the vector's own rounding of 1e-7.
        assert result.gradient_projection[i] == pytest.approx(float(g @ v), abs=1e-6 * float(g.norm()))
    assert (result.gauss_newton > 0).all()
    assert result.gradient_norm == pytest.approx(float(g.norm()), rel=1e-10)
    assert result.loss == pytest.approx(frozen.value(), rel=1e-10)


def test_the_result_fits_its_schema_and_survives_its_file(result: Result, tmp_path: Path) -> None:
    kept = read_result(result.save(tmp_path / "h.h5"))
    for name, array in result.arrays.items():
        assert np.array_equal(kept.arrays[name], array, equal_nan=True), name
    assert kept.eigenvectors.shape == (4, 310) and kept.eigenvectors.dtype == np.float32
    expected = {
        "status": "complete",
        "eps": 0.1,
        "norm": "linf",
        "attack": "pgd:steps=10,rel_step=0.25,restarts=1",
        "adversary": "frozen",
        "batchnorm": "none",
        "method": "lanczos",
        "which": "la",
        "tol": 1e-3,
        "data": "digits",
        "split": "train",
        "n_examples": 50,
        "n_parameters": 310,
        "seed": 0,
        "guard_passed": True,
        "check_hvps": 4,
        "classes": 10,
        "collapsed": False,
    }
    assert {name: kept.attrs[name] for name in expected} == expected
    assert kept.attrs["orthogonality"] <= 1e-12 and kept.attrs["hvps"] > kept.attrs["guard_hvps"] > 0
    assert kept.attrs["loss"] > kept.attrs["clean_loss"] and kept.attrs["error_rate"] >= kept.attrs["clean_error_rate"]


def test_without_a_budget_there_is_no_adversary(digits: ImageData) -> None:
    result = run(digits, eps=0.0)
    assert (result.adversary, result.attack) == ("none", "none")
    assert result.loss == result.clean_loss and result.error_rate == result.clean_error_rate


def test_the_same_for_every_batch_size_and_way_to_hand_in_data(digits: ImageData, result: Result) -> None:
    other = run((digits.images.numpy(), digits.labels.numpy()), batch_size=7)
    assert np.allclose(other.eigenvalues, result.eigenvalues, rtol=1e-9)
    assert other.eigenvalue_se == pytest.approx(result.eigenvalue_se, rel=1e-6)
    again = run(digits)
    for name, array in result.arrays.items():
        assert np.array_equal(again.arrays[name], array), name


def test_other_seeds_take_other_examples(digits: ImageData, result: Result) -> None:
    assert not np.allclose(run(digits, seed=1).eigenvalues, result.eigenvalues, rtol=1e-3)


@pytest.mark.parametrize(("which", "place"), [("la", slice(-1, -4, -1)), ("sa", slice(0, 3))])
def test_either_end(digits: ImageData, frozen: Objective, which: str, place: slice) -> None:
    values = torch.linalg.eigvalsh(dense_hessian(frozen)).numpy()[place]
    assert np.allclose(run(digits, which=which, top=3).eigenvalues, values, rtol=1e-5, atol=1e-9)


def test_power_finds_by_magnitude(digits: ImageData, result: Result) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it rarely converges to residuals of 1e-3
        found = run(digits, method="power", top=1)
    assert (found.method, found.which, found.guard_passed) == ("power", "lm", None)
    assert abs(found.eigenvalues[0] - result.eigenvalues[0]) <= found.residuals[0] + result.residuals[0]


def test_an_attack_object_brings_its_own_norm(digits: ImageData) -> None:
    result = run(digits, attack=PGD(L2Ball(9.0), steps=3), eps=0.5)
    assert (result.norm, result.eps, result.attack) == ("l2", 0.5, "pgd:steps=3,rel_step=0.25,restarts=1")


def test_eigenvectors_are_kept_within_their_share_of_memory_and_never_under_two(digits: ImageData) -> None:
    assert run(digits, keep_vectors=3 * 4 * 310 / 2**20).eigenvectors.shape == (3, 310)
    assert run(digits, keep_vectors=0).eigenvectors.shape == (2, 310)
    assert run(digits, keep_vectors=0, top=1).eigenvectors.shape == (1, 310)


def test_one_example_has_no_standard_error(digits: ImageData) -> None:
    result = run(digits, n_examples=1, top=2)
    assert np.isnan(result.eigenvalue_se).all() and math.isnan(result.loss_se)
    assert np.isfinite(result.gauss_newton).all()


def test_batchnorm_is_named_and_the_model_borrowed(digits: ImageData) -> None:
    net = resnet(dtype=torch.float32).train()
    images = digits.images[digits.labels < 3]
    before = state_of(net)
    result = run((images, digits.labels[digits.labels < 3]), net=net, top=2)
    assert result.batchnorm == "frozen" and result.classes == 3
    assert_untouched(net, before)


def test_progress_names_its_stages(digits: ImageData) -> None:
    seen: list[tuple[str, int, int]] = []
    run(digits, progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == ["attack", "eigenpairs", "evidence"]
    assert all(0 <= done <= total for _, done, total in seen)
    assert ("attack", 50, 50) in seen and ("eigenpairs", 4, 4) in seen and seen[-1] == ("evidence", 4, 4)


def test_what_has_not_converged_warns_and_raises_under_strict(digits: ImageData) -> None:
    with pytest.warns(RuntimeWarning, match="of 4 eigenpairs have residuals above"):
        result = run(digits, max_products=6)
    assert result.status == "not-converged" and (result.pair_status == 0).any() and len(result.eigenvalues) == 4
    with pytest.raises(NotConverged) as caught:
        run(digits, max_products=6, strict=True)
    assert np.array_equal(caught.value.result.eigenvalues, result.eigenvalues)


def test_a_constant_classifier_is_flagged(digits: ImageData) -> None:
    net = small_net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    result = run(digits, net=net, top=2)
    assert result.collapsed is True
    assert result.loss == pytest.approx(math.log(10), rel=1e-6)


def test_a_hessian_of_zero_has_pairs_too(digits: ImageData) -> None:
    def flat(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return 0 * outputs.sum(1)

    result = run(digits, loss=flat)
    assert np.array_equal(result.eigenvalues, np.zeros(4)) and result.status == "complete"
    assert np.array_equal(result.eigenvalue_se, np.zeros(4))


def test_weights_that_are_not_numbers(digits: ImageData) -> None:
    net = small_net()
    with torch.no_grad():
        net.fc1.weight[0, 0] = math.nan  # type: ignore[union-attr,index,operator]
    with pytest.raises(LandscapeError, match="not finite on 50 of 50 examples"):
        run(digits, net=net)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_examples": 1438}, "n-examples = 1438"),
        ({"top": 0}, "top = 0"),
        ({"top": 311}, "310 x 310; give --top 1 to 310"),
        ({"eps": 4.0}, "4/255"),
        ({"eps": -1.0}, "no radius"),
        ({"tol": 0.0}, "tol = 0"),
        ({"which": "ls"}, "which = 'ls'"),
        ({"method": "lobpcg"}, "lanczos and power"),
        ({"method": "power", "which": "la"}, "--which lm"),
        ({"norm": "l1"}, "did you mean l2"),
        ({"attack": "pgd:steps=0"}, "steps = 0"),
        ({"net": build_model("mlp:hidden=4", classes=4, seed=0)[0]}, r"gives \(1, 4\) for one image"),
        ({"net": build_model("lenet:width=1", input=(3, 8, 8), seed=0)[0]}, "fails on the 1x8x8 images"),
        ({"net": small_net(dtype=torch.bfloat16)}, "torch.bfloat16; wanted float32 or float64"),
        ({"net": "digits/eps0.1"}, "landscape.load_model"),
        ({"eps": None}, "eps = None"),
        ({"eps": "4"}, "did you mean 4/255"),
        ({"top": 2.5}, "top = 2.5; wanted a whole number"),
        ({"tol": math.inf}, "tol = inf"),
        ({"seed": -1}, "seed = -1"),
        ({"norm": "linf", "attack": PGD(L2Ball(0.5))}, "an attack in a ball of l2"),
        ({"params": "fc3.*"}, r"did you mean fc2.\* or fc1.\*"),
        ({"density": True, "probes": 0}, "probes = 0"),
        ({"density": True, "method": "power"}, "--method lanczos"),
    ],
)
def test_requests_that_cannot_be_meant_are_refused_before_the_attack(
    monkeypatch: pytest.MonkeyPatch, digits: ImageData, settings: dict[str, Any], says: str
) -> None:
    def attacked(*args: Any) -> None:
        raise AssertionError("the examples were attacked")

    monkeypatch.setattr(PGD, "__call__", attacked)
    with pytest.raises(UsageError, match=says):
        run(digits, **settings)


def test_a_budget_in_any_form(digits: ImageData) -> None:
    few: dict[str, Any] = {"top": 1, "n_examples": 10}
    results = [run(digits, eps=eps, **few) for eps in (4 / 255, "4/255", torch.tensor(4 / 255, dtype=torch.float64))]
    assert len({(result.eps, result.eigenvalues[0]) for result in results}) == 1


def test_a_density_beside_the_pairs(digits: ImageData, result: Result, frozen: Objective, tmp_path: Path) -> None:
    found = run(digits, density=True)
    for name, array in result.arrays.items():
        assert np.array_equal(found.arrays[name], array), name
    values = torch.linalg.eigvalsh(dense_hessian(frozen)).numpy()
    assert found.trace_low <= values.sum() <= found.trace_high
    assert found.frobenius == pytest.approx(float(np.linalg.norm(values)), rel=0.01)
    assert found.density_probes == 8 and found.density_hvps == 15 + 8 * found.density_steps
    grid, height = found.arrays["density/grid"], found.arrays["density/values"]
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=1e-5)
    kept = read_result(found.save(tmp_path / "h.h5"))
    assert np.array_equal(kept.arrays["density/values"], height) and kept.attrs["trace"] == found.trace
    assert run(digits, density=True, batch_size=7).trace == pytest.approx(found.trace, rel=1e-9)


def test_a_density_of_a_hessian_of_zero(digits: ImageData) -> None:
    found = run(digits, loss=lambda outputs, labels: 0 * outputs.sum(1), density=True)
    assert (found.trace, found.frobenius, found.trace_low, found.trace_high) == (0, 0, 0, 0)


def test_the_loss_that_training_minimised(digits: ImageData, result: Result, frozen: Objective) -> None:
    decayed = run(digits, weight_decay=0.2)
    w, vectors = frozen.w0, torch.from_numpy(decayed.eigenvectors).double()
    assert np.allclose(decayed.eigenvalues, result.eigenvalues + 0.2, rtol=1e-5)
    assert decayed.eigenvalue_se == pytest.approx(result.eigenvalue_se, rel=1e-2)
    assert decayed.gauss_newton == pytest.approx(result.gauss_newton, rel=1e-2)
    expected = (vectors @ (frozen.gradient() + 0.2 * w)).numpy()
    assert decayed.gradient_projection == pytest.approx(expected, abs=1e-6 * float(w.norm()))
    assert (decayed.weight_decay, decayed.loss) == (0.2, result.loss)
    assert decayed.penalty == pytest.approx(0.1 * float(w @ w), rel=1e-12)
    assert "weight_decay" not in result.attrs


def test_the_power_method_knows_the_weight_decay(digits: ImageData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        plain, decayed = (run(digits, method="power", top=1, tol=1e-6, weight_decay=decay) for decay in (0.0, 5.0))
    assert abs(decayed.eigenvalues[0] - 5 - plain.eigenvalues[0]) <= plain.residuals[0] + decayed.residuals[0]


def test_a_block_of_parameters(digits: ImageData, frozen: Objective) -> None:
    result = run(digits, params="fc2.*")
    H = dense_hessian(frozen)[260:, 260:]  # fc1 has 64 x 4 + 4 parameters
    assert np.allclose(result.eigenvalues, torch.linalg.eigvalsh(H).flip(0)[:4].numpy(), rtol=1e-5)
    assert (result.params, result.n_parameters, result.eigenvectors.shape) == ("fc2.*", 50, (4, 50))
    assert result.loss == pytest.approx(frozen.value(), rel=1e-10)


def test_a_block_of_one_parameter(digits: ImageData) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.scale = small_net(), nn.Parameter(torch.tensor([1.5], dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * self.net(x)

    result = run(digits, net=Scaled(), params="scale", top=None, density=True)
    # Of the outputs scale * f the bend along scale is zero, and so everything is Gauss-Newton.
    assert result.eigenvalues.shape == (1,) and result.eigenvectors[0, 0] ** 2 == 1
    assert result.gauss_newton[0] == pytest.approx(result.eigenvalues[0], rel=1e-6)
    assert result.trace == result.trace_low == result.eigenvalues[0]


class Kept:
    """A snapshot in memory, as the command line keeps one in a file."""

    def __init__(self) -> None:
        self.state: dict[str, np.ndarray] | None = None
        self.offers = 0

    def load(self) -> dict[str, np.ndarray] | None:
        return self.state

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self.offers += 1
        self.state = {name: np.array(array) for name, array in state().items()}


class Interrupted(Exception):
    pass


def test_a_run_interrupted_anywhere_and_resumed_ends_the_same(digits: ImageData) -> None:
    whole = Kept()
    result = run(digits, snapshot=whole, density=True)
    for stop in (0, 1, 7, whole.offers // 2, whole.offers - 3, whole.offers):
        snapshot, left = Kept(), stop

        def fail(stage: str, done: int, total: int) -> None:
            nonlocal left
            if stage == "eigenpairs":
                left -= 1
                if left < 0:
                    raise Interrupted

        with pytest.raises(Interrupted):
            run(digits, snapshot=snapshot, progress=fail, density=True)
        assert snapshot.offers == stop
        resumed = run(digits, snapshot=snapshot, density=True)
        for name, array in result.arrays.items():
            assert np.array_equal(resumed.arrays[name], array), (stop, name)
        volatile = {"created", "wall_seconds"}
        for name in result.attrs.keys() - volatile:
            same = resumed.attrs[name] == result.attrs[name] or result.attrs[name] != result.attrs[name]
            assert same, (stop, name)


def test_data_in_any_form(digits: ImageData) -> None:
    dataset = torch.utils.data.TensorDataset(digits.images[:80].float() / 255, digits.labels[:80])
    assert as_data(dataset).classes == 10
    result = run(dataset, top=1)
    assert result.data == "in memory" and result.n_examples == 50
