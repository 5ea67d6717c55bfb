"""How exact float32 is for this net, and what the commands will take: time and memory, from a few passes of its own."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import check_twice_differentiable
from ..attacks import APGD, Square
from ..curvature import HessianOperator, directional_curvature
from ..data import select
from ..errors import LandscapeError, UsageError
from ..memory import available_bytes
from ..objective import Objective
from ..streams import stream_key
from .patient import LOOK, OK, STOP, Finding, Patient, settle

TOP, GUARD, GRID = 20, 20, 21 * 21  # what the commands' defaults ask for
_PRODUCTS = 4 * TOP  # of Lanczos to TOP pairs; measured: 60 to 100 on nets of 6,000 to 11 million weights
_TRIED = 10  # steps of an attack, of which the time of all is told
_COARSE, _USELESS = 1e-4, 1e-3  # relative noise of a product, beside a residual of 1e-3


@dataclass(frozen=True)
class Forecast:
    """Seconds and bytes that a command will take with its defaults."""

    command: str
    seconds: float
    bytes: float


def curvature(patient: Patient) -> Finding:
    """Check that there is a second derivative, and how far float32 products differ from float64 ones."""
    count = min(16, len(patient.images))
    objective = patient.objective(count)
    try:
        check_twice_differentiable(objective)
    except UsageError as error:
        return Finding("curvature", STOP, str(error), "surface, connect and evaluate need no second derivative")
    v = torch.randn(objective.n_parameters, generator=_generator(patient.seed), dtype=torch.float64)
    v = (v / v.norm()).to(patient.first.device)
    product = (HessianOperator(objective, keep_graphs=False) @ v).double()
    length = float(product.norm())
    if patient.first.dtype == torch.float64:
        return Finding("curvature", OK, "products in float64")
    try:
        wide = Objective(
            copy.deepcopy(patient.model).double(),
            objective.images,
            objective.labels,
            loss=patient.loss,
            batch_size=patient.batch_size,
        )
        exact = HessianOperator(wide, keep_graphs=False) @ v
    except (RuntimeError, LandscapeError) as error:  # a net that casts to float32 by itself
        return Finding("curvature", OK, f"products exist; no float64 to compare with ({type(error).__name__})")
    noise = float((product - exact).norm() / exact.norm()) if float(exact.norm()) > 0 else 0.0
    told = f"a float32 product differs by {noise:.0e} of its length {length:.2g} from float64"
    if noise > _USELESS:
        return Finding(
            "curvature",
            STOP,
            told,
            "no residual of 1e-3 can be reached: save the weights in float64, or look for scores and activations of "
            "very different sizes",
        )
    if noise > _COARSE:
        return Finding("curvature", LOOK, told, "small eigenvalues will be 'at precision limit'; give --tol 1e-2")
    return Finding("curvature", OK, told)


def forecast(patient: Patient) -> Finding:
    """Forecast what hessian, surface and evaluate take with their defaults, from passes of this net."""
    rows = forecasts(patient)
    free = available_bytes(patient.first.device)
    told = "; ".join(f"{row.command} {_duration(row.seconds)}, {row.bytes / 2**20:,.0f} MiB" for row in rows)
    heavy = [row.command for row in rows if row.bytes > free]
    if heavy:
        return Finding(
            "forecast",
            STOP,
            f"{told}; {free / 2**20:,.0f} MiB are free",
            f"{' and '.join(heavy)} will not fit: give a smaller --top or --batch-size, or --device with more memory",
        )
    if any(row.seconds > 3600 for row in rows):
        return Finding(
            "forecast", LOOK, told, "give fewer --n-examples, a smaller --grid or --top; or --device cuda where one is"
        )
    return Finding("forecast", OK, told)


def forecasts(patient: Patient) -> list[Forecast]:
    """Return what the three commands will take with their defaults: 2,000 examples, 20 pairs, 21 x 21 points."""
    n = len(select(patient.data, None))
    attack = patient.attack
    steps = 0 if attack is None or attack.ball.eps == 0 else attack.restarts * attack.steps
    count = min(128, len(patient.images))
    objective = patient.objective(count)
    w0 = objective.w0
    v = torch.randn(len(w0), generator=_generator(patient.seed)).to(w0)
    graphs, held = _graph_bytes(objective)
    size = 4 * len(w0)
    passed = patient.per_pass
    found = []
    try:
        H = HessianOperator(objective)
        product = _seconds(lambda: H @ v, w0) / count
        evidence = _seconds(lambda: directional_curvature(objective, w0, v), w0) / count
        H.release()
    except (LandscapeError, RuntimeError):
        pass  # without a second derivative, which another check says
    else:
        # A basis of float64 rows, an attack beforehand, products until TOP pairs stand, then their check and evidence.
        algebra = (_PRODUCTS**2) * len(w0) * 4e-9
        seconds = n * (steps + 2) * passed + n * ((_PRODUCTS + GUARD + TOP) * product + TOP * evidence) + algebra
        basis = 8 * (4 * TOP + GUARD) * len(w0) + TOP * size
        kept = min(held + graphs * n, available_bytes(w0.device) / 2)
        found.append(Forecast("hessian", seconds, basis + kept))
    point = n * ((2 * steps + 4) / 2 * passed if steps else passed / 2)
    found.append(Forecast("surface", GRID * point, 4 * size + graphs * 256))
    found.append(Forecast("evaluate", _evaluation(patient, count) if steps else n * passed, 2 * size + graphs * 256))
    return found


def _evaluation(patient: Patient, count: int) -> float:
    """Return the seconds of the default suite on the test split, from a few steps of each of its attacks.

    The share of examples that withstand the default attack stands for those that stay to the end; the others leave
    early. An attack's own bookkeeping takes as long as a small net, so that passes alone would tell half of it.
    """
    assert patient.attack is not None
    if not patient.counts:
        return _test_examples(patient) * 100 * patient.per_pass
    images, labels = patient.images[:count], patient.labels[:count]
    right = max(int((patient.scores[:count].argmax(1) == labels).sum()), 1)
    outputs, _ = patient.objective(count, patient.attack).outputs()
    standing = float((outputs.argmax(1) == labels).double().mean())
    ball = patient.attack.ball
    each = 100 * patient.per_pass  # pgd100
    for attack, steps in ((APGD(ball, steps=_TRIED), 2 * 100), (Square(ball, queries=_TRIED), 5000)):
        began = time.perf_counter()
        attack(patient.model, images, labels, seed=patient.seed)
        settle(images.device)
        each += (time.perf_counter() - began) / (_TRIED * right) * steps
    return _test_examples(patient) * standing * each


def _test_examples(patient: Patient) -> int:
    if patient.other is None:
        return len(patient.data)
    try:
        return len(patient.other("test"))
    except LandscapeError:
        return len(patient.data)


def _graph_bytes(objective: Objective) -> tuple[float, float]:
    """Return the bytes of one example in the graph that Hessian products go through, and those that every graph has."""
    operator = HessianOperator(objective, keep_graphs=False)
    fixed, each = operator._graph_bytes()
    return float(each), float(fixed)


def _seconds(work: Callable[[], object], like: Tensor) -> float:
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        settle(like.device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream_key(seed, "doctor") >> 1)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
