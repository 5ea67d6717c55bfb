"""The solver on matrices whose spectrum is known: order, guard, restarts, limits, and the way back from a snapshot."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.curvature import Eigenpairs, Lanczos, PairStatus, settle, top_eigenpairs
from landscape.curvature.lanczos import guard_resolution, guard_steps
from landscape.errors import LandscapeError, NotConverged, UsageError
from tests.problems import Dense, symmetric

ORDERS = {
    "la": lambda values: np.argsort(-values),
    "sa": lambda values: np.argsort(values),
    "lm": lambda values: np.argsort(-np.abs(values)),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decaying(n: int, *, top: float = 10.0, ratio: float = 0.8) -> np.ndarray:
    """Return the spectrum (n,) of a net in small: a few outliers over a bulk around zero, some of it negative."""
    bulk = 0.05 * np.random.default_rng(0).standard_normal(n)
    outliers = top * ratio ** np.arange(12)
    return np.concatenate([outliers, bulk])[:n]


def assert_true(pairs: Eigenpairs, spectrum: np.ndarray, *, slack: float = 0.0) -> None:
    """Fail unless an eigenvalue lies within each residual, and the vectors are orthonormal and in order."""
    scale = np.abs(spectrum).max()
    distances = np.abs(pairs.values[:, None] - spectrum).min(axis=1)
    # The float64 matrix is not made of its spectrum exactly: some 1e-14 of its norm.
    assert (distances <= pairs.residuals + slack + 1e-13 * scale).all()
    assert pairs.orthogonality <= 1e-12
    assert torch.allclose(pairs.vectors.norm(dim=1), torch.ones(len(pairs.values), dtype=torch.float64), rtol=1e-14)
    assert (ORDERS[pairs.which](pairs.values) == np.arange(len(pairs.values))).all() or len(
        set(np.abs(pairs.values).round(12))
    ) < len(pairs.values)


def assert_top(pairs: Eigenpairs, spectrum: np.ndarray, *, rtol: float = 1e-3) -> None:
    """Fail unless the pairs are the outermost of the spectrum, in order."""
    assert_true(pairs, spectrum)
    expected = spectrum[ORDERS[pairs.which](spectrum)][: len(pairs.values)]
    floor = 1e-12 * np.abs(spectrum).max()
    if pairs.which == "lm":
        # Eigenvalues of one magnitude and either sign have no order.
        assert np.allclose(np.abs(pairs.values), np.abs(expected), rtol=rtol, atol=floor)
    else:
        assert np.allclose(pairs.values, expected, rtol=rtol, atol=floor)


@pytest.mark.parametrize("which", ["la", "lm", "sa"])
@pytest.mark.parametrize("capacity", [None, 1], ids=["roomy", "restarting"])
def test_finds_the_end_that_was_asked_for(which: str, capacity: int | None) -> None:
    spectrum = decaying(200)
    spectrum[150:158] = -7 * 0.7 ** np.arange(8)
    solver = Lanczos(Dense(symmetric(spectrum)), 6, which=which, capacity=capacity, generator=seeded(0))
    solver.solve()
    pairs = settle(solver)
    assert_top(pairs, spectrum, rtol=1e-6)  # the square of a residual of 1e-3
    assert solver.space.rows.shape[0] < (30 if capacity else 60)
    assert pairs.guard_passed and (pairs.status == PairStatus.CONVERGED).all()


def test_restarts_change_the_cost_and_not_the_answer() -> None:
    spectrum = decaying(300)
    H = Dense(symmetric(spectrum))
    found = []
    for capacity in (None, 1, 20):
        solver = Lanczos(H, 8, capacity=capacity, tol=1e-8, generator=seeded(1))
        solver.solve()
        found.append(settle(solver))
    for pairs in found:
        assert_top(pairs, spectrum, rtol=1e-12)
        assert np.allclose(np.abs((pairs.vectors @ found[0].vectors.T).numpy()), np.eye(8), atol=1e-7)
    assert found[1].hvps >= found[0].hvps


def test_vectors_are_as_good_as_residual_over_gap() -> None:
    spectrum = decaying(150)
    A = symmetric(spectrum)
    pairs = top_eigenpairs(Dense(A), 6, generator=seeded(0))
    values, vectors = torch.linalg.eigh(A)
    for value, vector, residual in zip(pairs.values, pairs.vectors, pairs.residuals, strict=True):
        own = int(np.abs(values.numpy() - value).argmin())
        gap = np.abs(np.delete(values.numpy(), own) - value).min()
        cosine = float((vectors[:, own] @ vector).abs())
        # Davis and Kahan: sin(angle) <= residual / gap. Below 1e-7 a cosine of 1 rounds.
        assert math.sqrt(max(0.0, 1 - cosine**2)) <= residual / gap + 1e-7


@pytest.mark.parametrize("multiplicity", [2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_the_guard_finds_every_copy_of_an_eigenvalue(multiplicity: int, seed: int) -> None:
    spectrum = decaying(120)
    spectrum[:multiplicity] = 20.0
    H = Dense(symmetric(spectrum))
    assert_top(top_eigenpairs(H, 5, generator=seeded(seed)), spectrum)


def test_without_the_guard_copies_are_missed() -> None:
    # What the tests of the guard are worth: one start sees one vector of an eigenspace, and each pair is certified.
    spectrum = decaying(120)
    spectrum[:3] = 20.0
    H = Dense(symmetric(spectrum))
    missed = 0
    for seed in range(5):
        pairs = top_eigenpairs(H, 5, guard=False, generator=seeded(seed))
        assert_true(pairs, spectrum)
        assert pairs.guard_passed is None and pairs.guard_hvps == 0 and math.isnan(pairs.guard_bound)
        missed += np.sum(np.abs(pairs.values - 20) < 0.1) < 3
    assert missed == 5


def test_an_eigenvalue_of_multiplicity_ten_in_a_small_space() -> None:
    spectrum = decaying(150)
    spectrum[:10] = 20.0
    solver = Lanczos(Dense(symmetric(spectrum)), 12, capacity=1, generator=seeded(0))
    solver.solve()
    assert_top(settle(solver), spectrum)


@pytest.mark.parametrize("which", ["la", "lm", "sa"])
@pytest.mark.parametrize("k", [1, 4, 19, 20])
@pytest.mark.parametrize(
    "spectrum",
    [
        np.ones(20),
        np.zeros(20),
        np.array([1.0, -1.0] * 10),
        np.concatenate([[1.0, -1.0, 0.5, -0.5], np.linspace(-0.3, 0.3, 16)]),
        np.linspace(-1, 1, 20),
        -np.arange(1.0, 21),
        np.concatenate([1 + 1e-6 * np.arange(5), np.linspace(0, 0.5, 15)]),
        np.concatenate([[1e8], np.linspace(-1, 1, 19)]),
        1e-20 * np.arange(1.0, 21),
        1e20 * np.arange(1.0, 21),
        np.concatenate([[3.0, 2.0], np.zeros(18)]),
    ],
    ids=[
        "identity",
        "zero",
        "plus-minus",
        "pairs",
        "even",
        "negative",
        "cluster",
        "one-huge",
        "tiny",
        "huge",
        "low-rank",
    ],
)
@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
def test_spectra_that_solvers_trip_over(spectrum: np.ndarray, k: int, which: str, guard: bool) -> None:
    pairs = top_eigenpairs(Dense(symmetric(spectrum)), k, which=which, guard=guard, generator=seeded(2))
    assert len(pairs.values) == k and pairs.vectors.shape == (k, 20) and pairs.converged
    if guard:
        assert_top(pairs, spectrum)
    else:
        assert_true(pairs, spectrum)


def test_the_whole_spectrum_of_one_dimension_and_of_more() -> None:
    pairs = top_eigenpairs(Dense(torch.tensor([[-2.5]], dtype=torch.float64)), 1)
    assert pairs.values == [-2.5] and pairs.vectors.abs() == 1 and pairs.guard_passed
    spectrum = np.array([3.0, 1.0, -2.0])
    for k in (1, 2, 3):
        assert_top(top_eigenpairs(Dense(symmetric(spectrum)), k), spectrum)


def test_exhausting_the_space_settles_all() -> None:
    # A spectrum without outliers: the guard's start finds no dimension left, and Ritz pairs of all of R^P are exact.
    spectrum = np.linspace(1, 2, 30)
    pairs = top_eigenpairs(Dense(symmetric(spectrum)), 29, tol=1e-9)
    assert_top(pairs, spectrum, rtol=1e-12)
    assert pairs.guard_passed and pairs.hvps == 30


@pytest.mark.parametrize("k", [0, 6, -1])
def test_more_pairs_than_dimensions_cannot_be_meant(k: int) -> None:
    with pytest.raises(UsageError, match="wanted 1 to 5"):
        top_eigenpairs(Dense(torch.eye(5, dtype=torch.float64)), k)


def test_settings_that_cannot_be_meant() -> None:
    H = Dense(torch.eye(5, dtype=torch.float64))
    with pytest.raises(UsageError, match="tol = 0"):
        top_eigenpairs(H, 2, tol=0)
    with pytest.raises(UsageError, match="did you mean la"):
        top_eigenpairs(H, 2, which="laa")
    with pytest.raises(UsageError, match="at least 2 products"):
        top_eigenpairs(H, 2, max_products=1)


def test_no_residual_bound_breaks_in_two_hundred_random_problems() -> None:
    random = np.random.default_rng(0)
    limits = 0
    for problem in range(200):
        n = int(random.integers(2, 70))
        kind = problem % 5
        spectrum = random.standard_normal(n)
        if kind == 1:
            spectrum = 10.0 ** random.uniform(-9, 3, n) * random.choice([-1, 1], n)
        elif kind == 2:
            spectrum = random.integers(-3, 4, n).astype(float)
        elif kind == 3:
            spectrum[n // 2 :] = 0
        elif kind == 4:
            spectrum = 1 / np.arange(1.0, n + 1) ** 2
        A = symmetric(spectrum, seed=problem)
        single = problem % 2 == 1
        H = Dense(A.float() if single else A)
        # The float32 matrix's own eigenvalues are the truth; its products then round on their own.
        truth = np.linalg.eigvalsh(H.matrix.double().numpy())
        slack = 2 * math.sqrt(n) * float(torch.finfo(H.dtype).eps) * np.abs(truth).max()
        k = int(random.integers(1, min(n, 12) + 1))
        pairs = top_eigenpairs(
            H,
            k,
            which=("la", "lm", "sa")[problem % 3],
            tol=10.0 ** -random.integers(2, 7),
            guard=bool(problem % 4),
            generator=seeded(problem),
            strict=False,
        )
        assert_true(pairs, truth, slack=slack)
        assert pairs.converged, problem
        limits += int(np.sum(pairs.status == PairStatus.PRECISION_LIMIT))
    assert limits > 20  # those pairs did arise, and were no failures


def test_a_small_eigenvalue_beside_a_large_one_is_at_the_precision_of_the_product() -> None:
    spectrum = np.concatenate([[1e4], np.linspace(1, 2, 99)])
    H = Dense(symmetric(spectrum).float())
    pairs = top_eigenpairs(H, 5, tol=1e-5, generator=seeded(0))
    assert pairs.status[0] == PairStatus.CONVERGED
    assert (pairs.status[1:] == PairStatus.PRECISION_LIMIT).all()
    # Rounding is that of the whole matrix, also where only the other end was asked for.
    smallest = top_eigenpairs(H, 3, which="sa", tol=1e-6, generator=seeded(0))
    assert (smallest.status == PairStatus.PRECISION_LIMIT).all()
    assert smallest.precision == pytest.approx(20 * 2**-23 * 1e4, rel=1e-3)


@pytest.mark.parametrize("max_products", [8, 15, 30])
def test_a_run_cut_short_says_so(max_products: int) -> None:
    H = Dense(symmetric(np.linspace(0, 1, 200)))
    with pytest.raises(NotConverged, match="of 8 eigenpairs have residuals above") as caught:
        top_eigenpairs(H, 8, max_products=max_products, generator=seeded(0))
    pairs = caught.value.result
    assert pairs.hvps == max_products and len(pairs.values) == 8 and not pairs.converged
    quiet = top_eigenpairs(H, 8, max_products=max_products, generator=seeded(0), strict=False)
    assert np.array_equal(quiet.values, pairs.values) and np.array_equal(quiet.status, pairs.status)
    assert_true(quiet, np.linspace(0, 1, 200))


def test_a_run_cut_short_while_the_guard_looks_keeps_its_pairs() -> None:
    spectrum = decaying(200)
    H = Dense(symmetric(spectrum))
    whole = top_eigenpairs(H, 5, generator=seeded(0))
    assert whole.guard_hvps == guard_steps(200) + 1  # its own steps, and the vector that was pending
    for spared in range(1, whole.guard_hvps + 1):
        pairs = top_eigenpairs(H, 5, max_products=whole.hvps - spared, generator=seeded(0), strict=False)
        assert pairs.guard_passed is False and not pairs.converged
        assert (pairs.status == PairStatus.CONVERGED).all()
        assert_top(pairs, spectrum)
    with pytest.raises(NotConverged, match="the guard"):
        top_eigenpairs(H, 5, max_products=whole.hvps - 1, generator=seeded(0))


def test_products_are_counted_as_they_are_made() -> None:
    H = Dense(symmetric(decaying(200)))
    seen: list[tuple[int, int]] = []
    pairs = top_eigenpairs(H, 5, generator=seeded(0), progress=lambda done, k: seen.append((done, k)))
    assert H.products == pairs.hvps + pairs.check_hvps and pairs.check_hvps == 5
    assert len(seen) == pairs.hvps + 1 and seen[0] == (0, 5) and seen[-1] == (5, 5)  # before the first and after each


def test_the_same_generator_gives_the_same_pairs() -> None:
    H = Dense(symmetric(decaying(100)))
    first, again, other = (top_eigenpairs(H, 4, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.vectors, again.vectors) and not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize("capacity", [None, 1], ids=["roomy", "restarting"])
def test_a_run_resumed_at_any_step_ends_the_same_bit_for_bit(capacity: int | None) -> None:
    spectrum = decaying(90)
    spectrum[:2] = 20.0  # so that the guard finds something, and a second round of it follows
    H = Dense(symmetric(spectrum))

    def fresh(seed: int) -> Lanczos:
        return Lanczos(H, 4, capacity=capacity, tol=1e-5, generator=seeded(seed))

    solver, states, guarding = fresh(3), [], 0
    while not solver.done:
        solver.step()
        guarding += solver.guard_left > 0
        states.append({name: np.array(array) for name, array in solver.state().items()})
    expected = settle(solver)
    assert guarding >= guard_steps(90)
    for state in states:
        resumed = fresh(99)  # another generator: its state comes with the rest
        resumed.load({name: np.array(array) for name, array in state.items()})
        resumed.solve()
        pairs = settle(resumed)
        assert np.array_equal(pairs.values, expected.values)
        assert torch.equal(pairs.vectors, expected.vectors)
        assert np.array_equal(pairs.residuals, expected.residuals)
        assert (pairs.hvps, pairs.guard_hvps, pairs.guard_passed, pairs.guard_bound) == (
            expected.hvps,
            expected.guard_hvps,
            expected.guard_passed,
            expected.guard_bound,
        )


def test_a_product_that_is_interrupted_leaves_the_run_as_it_was() -> None:
    H = Dense(symmetric(decaying(80)))
    expected = top_eigenpairs(H, 4, generator=seeded(0))

    class Failing(Dense):
        def __matmul__(self, v: torch.Tensor) -> torch.Tensor:
            self.products += 1
            if self.products % 5 == 0:
                raise KeyboardInterrupt
            return self.matrix @ v

    solver = Lanczos(Failing(H.matrix), 4, precision=1e-13, generator=seeded(0))
    interruptions = 0
    while not solver.done:
        try:
            solver.step()
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 3
    assert np.array_equal(solver.values, expected.values) and solver.products == expected.hvps


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_product_that_is_not_finite_is_refused(value: float) -> None:
    A = symmetric(decaying(30))
    A[3, 4] = A[4, 3] = value
    with pytest.raises(LandscapeError, match="not finite"):
        top_eigenpairs(Dense(A), 3)


@pytest.mark.parametrize("which", ["la", "sa", "lm"])
def test_what_the_guard_promises(which: str) -> None:
    # Beyond the bound nothing may hide but once in a hundred runs: here what the space leaves over is known.
    spectrum = decaying(400)
    spectrum[200:208] = -9 * 0.8 ** np.arange(8)
    pairs = top_eigenpairs(Dense(symmetric(spectrum)), 5, which=which, generator=seeded(0))
    rest = spectrum[ORDERS[which](spectrum)][5]
    assert math.isfinite(pairs.guard_bound)
    if which == "sa":
        assert pairs.values[-1] * 3 < pairs.guard_bound <= 0
    else:
        assert 0 <= pairs.guard_bound < 3 * abs(pairs.values[-1])
    assert abs(rest) < abs(pairs.values[-1])


def test_the_guard_s_resolution_holds_on_its_own_kind_of_problem() -> None:
    # Lanczos from a random start in R^n misses the largest eigenvalue by more than r of the spread once in 100 runs at
    # most; the hardest spectrum is an isolated top. None of 200 runs may count more than 8 (a chance of 1e-4).
    n = 100
    steps = guard_steps(n)
    r = guard_resolution(n, steps, 0.99)
    spectrum = np.zeros(n)
    spectrum[0], spectrum[1:] = 1.0, np.linspace(0, 1 - r, n - 1)
    A = symmetric(spectrum)
    missed = 0
    for seed in range(200):
        solver = Lanczos(Dense(A), 1, tol=1e-15, guard=False, max_products=steps, generator=seeded(seed))
        solver.solve()
        missed += solver.values[0] < 1 - r
    assert missed <= 8


@pytest.mark.parametrize("n", [2, 10, 1000, 10**6, 10**9])
def test_the_guard_s_resolution_sharpens_with_steps(n: int) -> None:
    few, more = guard_resolution(n, guard_steps(n), 0.99), guard_resolution(n, guard_steps(n) + 10, 0.99)
    assert 0 < more < few <= 1
    assert n < 1000 or few < 0.3
    assert guard_steps(n) == pytest.approx(math.log(n) + 2.5, abs=0.51)
