"""Time our top eigenpairs beside the peers': one process, one thread, the same net, data and frozen examples.

python benchmarks/hessian.py            everything: an hour or two, most of it PyHessian's
python benchmarks/hessian.py --quick    a minute: enough to see that all of it runs

Seconds are CPU seconds, so that other work on the machine disturbs little. It is a measurement, not a test: whatever it
finds, the exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

# BLAS libraries read these when they are first imported, so it must come before NumPy and torch.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import scipy
import torch
from contenders import Solution, evidence_seconds
from judge import judge
from line_up import PRODUCT_OF, contenders
from memory import peak_mib
from peers import HAS_CURVLINOPS
from problems import CASES, Problem, make_problem
from report import Measured, SolveRow
from timing import flop_ratio, kernels, relative_errors, time_products

from landscape.curvature import HessianOperator
from landscape.memory import keep_freed_memory

Say = Callable[[str], None]


def measure(
    problem: Problem, *, k: int, rounds: int, repeats: int, memory: bool, data_dir: Path | None, say: Say
) -> Measured:
    """Measure the products, then `repeats` rounds of everyone's whole solve, and judge all pairs in float64."""
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(problem.objective.n_parameters, generator=generator)
    v /= v.norm()
    judging = problem.in_float64()
    say(f"{problem.case.name} n={problem.n}: products")
    products = kernels(problem)
    seconds = time_products(products, v, rounds)
    errors = relative_errors(products, v, judging @ v.double())
    ratio = flop_ratio(products, v)
    del products
    judging.release()  # its graphs would crowd the solves

    ours, *others = contenders()
    solutions: dict[str, list[Solution]] = {contender.name: [] for contender in (ours, *others)}
    for repeat in range(repeats):
        for number, other in enumerate(others):
            # Ours is short, and would catch one moment of a busy machine: it runs beside each of the others.
            for contender, seed in ((ours, repeat * len(others) + number), (other, repeat)):
                say(f"{problem.case.name} n={problem.n}: {contender.name}")
                solutions[contender.name].append(contender.solve(problem, k, seed=seed))
    rows = {}
    for contender in (ours, *others):
        say(f"{problem.case.name} n={problem.n}: judging {contender.name}")
        row = _row(solutions[contender.name], judging, seconds[PRODUCT_OF[contender.name]])
        if memory:
            row.peak_mib = peak_mib(problem.case.name, problem.n, contender.name, k=k, data_dir=data_dir)
        rows[contender.name] = row
    return Measured(
        case=problem.case.name,
        model=problem.case.model,
        data=problem.data,
        eps=problem.case.recipe.eps,
        parameters=problem.objective.n_parameters,
        n=problem.n,
        micro_batch=problem.case.micro_batch,
        k=k,
        rounds=rounds,
        products=seconds,
        errors=errors,
        flop_ratio=ratio,
        evidence_seconds=evidence_seconds(problem, solutions[ours.name][0].vectors),
        solves=rows,
    )


def _row(solutions: Sequence[Solution], judging: HessianOperator, product: float) -> SolveRow:
    verdicts = [judge(judging, solution) for solution in solutions]
    worst = {"true_over_claimed": max, "rounding_over_estimate": max, "guard_passed": min}
    own = statistics.median(one.seconds - one.product_seconds for one in solutions)
    products = statistics.median(one.products for one in solutions)
    return SolveRow(
        runs=len(solutions),
        seconds=statistics.median(one.seconds for one in solutions),
        steady=own + products * product,
        product_seconds=statistics.median(one.product_seconds for one in solutions),
        products=round(products),
        pairs=min(verdict.within for verdict in verdicts),
        worst=max(verdict.worst for verdict in verdicts),
        orthogonality=max(verdict.orthogonality for verdict in verdicts),
        notes={
            key: worst.get(key, statistics.median)([one.notes[key] for one in solutions]) for key in solutions[0].notes
        },
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), help="default: lenet resnet18")
    parser.add_argument("--examples", nargs="+", type=int, help="sizes n in place of each case's own")
    parser.add_argument("--top", type=int, default=20, help="how many eigenpairs (20)")
    parser.add_argument("--rounds", type=int, help="interleaved timings of each product (15)")
    parser.add_argument("--repeats", type=int, default=1, help="interleaved whole solves, each from another start (1)")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, help="peak memory, in child processes")
    parser.add_argument("--keep-memory", action="store_true", help="as the command does: keep what is freed (glibc)")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LANDSCAPE_DATA"), help="real MNIST, CIFAR-10")
    parser.add_argument("--out", type=Path, help="a .json file for all that was measured")
    parser.add_argument("--quick", action="store_true", help="small cases, few rounds, no memory: about a minute")
    arguments = parser.parse_args(argv)
    if arguments.cases is None:
        arguments.cases = ["tiny", "lenet"] if arguments.quick else ["lenet", "resnet18"]
        if arguments.quick and arguments.examples is None:
            arguments.examples = [64]
    if arguments.rounds is None:
        arguments.rounds = 3 if arguments.quick else 15
    if arguments.memory is None:
        arguments.memory = not arguments.quick
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    arguments = _arguments(argv)
    torch.set_num_threads(1)
    data_dir = None if arguments.data_dir is None else Path(arguments.data_dir)
    if arguments.keep_memory:
        keep_freed_memory()

    def say(text: str) -> None:
        print(f"  ... {text}", flush=True)

    if not HAS_CURVLINOPS:
        say("curvlinops is not installed and is left out: pip install -c constraints.txt curvlinops-for-pytorch")
    machine = {"python": platform.python_version(), "torch": torch.__version__, "scipy": scipy.__version__}
    results = []
    for name in arguments.cases:
        for n in arguments.examples or CASES[name].examples:
            say(f"{name} n={n}: net (trained the first time) and frozen examples")
            problem = make_problem(CASES[name], n, data_dir=data_dir)
            measured = measure(
                problem,
                k=arguments.top,
                rounds=arguments.rounds,
                repeats=arguments.repeats,
                memory=arguments.memory,
                data_dir=data_dir,
                say=say,
            )
            print("\n" + "\n".join(measured.lines()) + "\n", flush=True)
            results.append(measured.to_dict())
            if arguments.out is not None:  # after each case: a long run that is stopped has what it got to
                arguments.out.write_text(json.dumps({**machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
