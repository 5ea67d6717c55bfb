"""Several processes and many parameters: speed-up over one, memory of a large net, what a basis in less costs.

python benchmarks/scale.py speed       # 2 processes of one thread beside 1, products and surfaces, and a forecast
python benchmarks/scale.py precision   # residuals where the basis is stored in float32 or bfloat16
python benchmarks/scale.py large       # a Hessian product and 5 Lanczos steps of 100 million parameters
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import landscape
from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, Lanczos, top_eigenpairs
from landscape.curvature.basis import STORED
from landscape.curvature.lanczos import SPARE, find_room
from landscape.data import select
from landscape.distributed import ALONE, Group, found_group, joined, led
from landscape.geometry import Plane, random_directions, recalibration
from landscape.models import build_model
from landscape.objective import Objective
from landscape.shared import shared
from landscape.surfaces import Grid, Ladder, Points, every, scan

ROUNDS, SCANS = 9, 3
STEPS = 5
MOST_GIB = 24.0
PRODUCT = 7  # vectors of P numbers that a product takes at its peak, the graph of its examples apart
# The assumptions of the forecast: what the machine here cannot measure.
GPU_FLOPS, LINK, NETWORK = 20e12, 150e9, 25e9  # float32 FLOP/s a GPU reaches; bytes/s in a machine of 8, and between


def problem(name: str, n: int) -> Objective:
    """Return the objective of n random images: a product costs the same whatever the weights are."""
    shape = (3, 32, 32) if name.startswith("resnet") else (1, 28, 28)
    model, _ = build_model(name, input=shape, classes=10, seed=0)
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.rand(n, *shape, generator=draws), torch.randint(10, (n,), generator=draws)
    return Objective(model.eval(), images, labels)


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median wall and CPU seconds of each call in this process, one of each in every round."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began, busy = time.perf_counter(), time.process_time()
            call()
            if number:  # the first round builds graphs and warms caches
                taken[name].append((time.perf_counter() - began, time.process_time() - busy))
    return {
        name: (statistics.median(w for w, _ in one), statistics.median(c for _, c in one))
        for name, one in taken.items()
    }


def products(group: Group, name: str, n: int) -> None:
    """Print what a product takes in one process and in all of them, and what the sum of its vectors takes."""
    objective = problem(name, n)
    alone = objective.hessian()
    v = torch.randn(objective.n_parameters, generator=torch.Generator().manual_seed(1))

    def measure() -> None:
        H = shared(objective, group).hessian()
        found = interleaved({"one": lambda: alone @ v, "all": lambda: H @ v}, ROUNDS)
        apart = float(((H @ v) - (alone @ v)).norm() / (alone @ v).norm())
        (wall, busy), (wall_all, busy_all) = found["one"], found["all"]
        print(
            f"product, {name} ({len(v):,} parameters), n = {n}: {1e3 * wall:.0f} ms in 1 process, "
            f"{1e3 * wall_all:.0f} ms in {group.world}: {wall / wall_all:.2f} times as fast by the clock, "
            f"{busy / busy_all:.2f} by the first process's CPU time; they differ by {apart:.0e}"
        )

    led(group, measure)


def sums(group: Group) -> None:
    """Print what a sum over the processes takes."""
    for size in (10**5, 10**6, 10**7):
        tensor = torch.zeros(size)
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            group.sum([tensor])
            taken.append(time.perf_counter() - began)
        if group.leads:
            median = 1e3 * statistics.median(taken)
            print(f"sum of {4 * size / 1e6:g} MB over {group.world} processes (gloo): {median:.2f} ms")


def surfaces(group: Group, n: int, shape: tuple[int, int]) -> None:
    """Print what a scan takes in one process and in all of them."""
    model, data = landscape.load_model("digits/eps0.1"), landscape.load_data("digits")
    examples = select(data, n, seed=0)
    objective = Objective(model, examples.images, examples.labels, indices=examples.indices)
    ladder = Ladder(objective, [PGD(LinfBall(0.1))])
    plane = Plane(objective.w0, *random_directions(objective.space, objective.w0, seed=0).vectors)
    points = Points(ladder, plane, recalibration(objective, "frozen", None, ladder.attacks[0]))
    ladder.freeze(points.network(0, 0))
    xs, ys = np.linspace(-0.5, 0.5, shape[0]), np.linspace(-0.5, 0.5, shape[1])

    def scanned(by: Group) -> np.ndarray:
        grid = Grid(1, len(ys), len(xs), n, keep_examples=False)
        scan(points, grid, ys, xs, every(ys, xs), group=by)
        return grid.arrays["loss"]

    calls: dict[str, Callable[[], object]] = {
        "one": lambda: group.from_first(lambda: scanned(ALONE)),
        "all": lambda: scanned(group),
    }
    found = interleaved(calls, SCANS)
    same = np.array_equal(group.from_first(lambda: scanned(ALONE)), scanned(group))
    (wall, busy), (wall_all, busy_all) = found["one"], found["all"]
    if group.leads:
        print(
            f"surface of {shape[0]} x {shape[1]} points, n = {n}: {wall:.1f} s in 1 process, {wall_all:.1f} s in "
            f"{group.world}: {wall / wall_all:.2f} times as fast by the clock, {busy / busy_all:.2f} by the first "
            f"process's CPU time; {'the same' if same else 'NOT the same'} losses"
        )


def forecast() -> None:
    """Print what 8 and 64 GPUs would take for a product, by operations counted here and rates assumed."""
    n, few = 2000, 2
    for name in ("lenet:width=16", "resnet18:width=16"):
        objective = problem(name, few)
        H, v = objective.hessian(), torch.randn(objective.n_parameters)
        H @ v  # graphs that are kept are built outside the count
        with FlopCounterMode(display=False) as counter:
            H @ v
        one = counter.get_total_flops() / few * n / GPU_FLOPS
        size = 4 * objective.n_parameters
        told = []
        for world in (8, 64):
            # v goes out and the sum comes in: three times the vector in each process, over the slowest link.
            sent = 3 * size * (world - 1) / world / (LINK if world <= 8 else NETWORK)
            each = one / world + sent
            told.append(f"{1e3 * each:.2f} ms on {world} ({one / each:.1f} times as fast)")
        print(
            f"FORECAST, not measured: a product of {name} ({objective.n_parameters:,} parameters), n = {n:,}: "
            f"{1e3 * one:.1f} ms on one GPU, {', '.join(told)}"
        )


def precision() -> None:
    """Print what storing the basis in less does to the residuals, judged in float64."""
    model, data = landscape.load_model("digits/eps0.1"), landscape.load_data("digits")
    examples = select(data, 500, seed=0)
    frozen = Objective(model, examples.images, examples.labels, attack=PGD(LinfBall(0.1)), seed=0).freeze()
    judge = HessianOperator(Objective(model.double(), frozen.images, frozen.labels))
    net = landscape.load_model("digits/eps0.1")
    H = Objective(net, frozen.images, frozen.labels).hessian()
    for which in ("la", "sa"):
        for stored in STORED:
            solver = Lanczos(H, 20, which=which, tol=1e-3, precision=2.4e-6, stored=stored, max_products=400)
            solver.solve()
            vectors = solver.space.vectors(solver.coordinates)
            claimed = solver.residuals / np.abs(solver.values)
            lengths = vectors.norm(dim=1, keepdim=True)
            vectors = vectors / lengths
            true = torch.stack([judge @ v for v in vectors]) - torch.from_numpy(solver.values.copy())[:, None] * vectors
            found = true.norm(dim=1).numpy() / np.abs(solver.values)
            overlap = float((vectors @ vectors.T - torch.eye(20, dtype=torch.float64)).abs().max())
            print(
                f"basis in {stored:8s}, 20 pairs {which}: {solver.products} products, residuals over |eigenvalue| "
                f"claimed at most {claimed.max():.1e}, true at most {found.max():.1e}, median {np.median(found):.1e}; "
                f"overlap {overlap:.0e}; {'converged' if solver.guard_passed else 'not converged'}"
            )


def large(stored: str) -> None:
    """Print the peak memory of a product and of 5 Lanczos steps of a large net, beside the law."""
    width = 7055
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus(),
        nn.Linear(width, width), nn.Softplus(), nn.Linear(width, 10),
    ).eval()  # fmt: skip
    data = select(landscape.load_data("digits"), 16, seed=0)
    objective = Objective(net, data.images, data.labels)
    p = objective.n_parameters
    start = _held()
    print(f"{p:,} parameters; the process holds {start / 2**30:.2f} GiB, the net {4 * p / 2**30:.2f} GiB of them")
    H = objective.hessian(keep_graphs=False)
    v: Tensor | None = torch.randn(p)
    began = time.perf_counter()
    H @ v
    v = None
    law = 4 * PRODUCT * p
    print(
        f"a product: {time.perf_counter() - began:.1f} s, {(_peak() - start) / 2**30:.2f} GiB more at its peak; by the "
        f"law, {PRODUCT} vectors of 4 bytes a parameter: {law / 2**30:.2f} GiB"
    )
    room = find_room(H, 1, guard=0, stored=STORED[stored], max_products=STEPS)
    began = time.perf_counter()
    pairs = top_eigenpairs(H, 1, guard=False, max_products=STEPS, strict=False, stored=stored)
    peak = _peak()
    # Rows that the steps never came to were never touched.
    law += room.bytes - STORED[stored].itemsize * p * (room.rows + SPARE - pairs.hvps - 1)
    print(
        f"{pairs.hvps} Lanczos steps and the check: {time.perf_counter() - began:.0f} s, "
        f"lambda_1 {pairs.values[0]:.4g}, residual {pairs.residuals[0]:.1e}; "
        f"{(peak - start) / 2**30:.2f} GiB more at its peak; by the law, "
        f"{pairs.hvps + 1} rows in {stored} and 3 vectors in float64 beside the product: {law / 2**30:.2f} GiB"
    )
    met = "met" if peak < MOST_GIB * 2**30 else "NOT met"
    print(f"peak of the process: {peak / 2**30:.2f} GiB, wanted under {MOST_GIB:g}: {met}")


def _held() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "precision", "large"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--basis", choices=tuple(STORED), default="float64")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "precision":
        precision()
    elif arguments.part == "large":
        large(arguments.basis)
    elif "RANK" not in os.environ:
        told = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(arguments.processes),
        ]
        subprocess.run([*told, __file__, *sys.argv[1:]], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    else:
        with joined(found_group()) as group:
            if group.leads:
                print(f"{group.world} processes of one thread on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            sums(group)
            products(group, "lenet:width=4", 512)
            products(group, "resnet18:width=8", 64)
            surfaces(group, 200, (5, 4))
            if group.leads:
                print(f"load {os.getloadavg()[0]:.1f} at the end")
                forecast()


if __name__ == "__main__":
    main()
