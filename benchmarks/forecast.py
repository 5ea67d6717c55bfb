"""The doctor's forecasts beside what the commands then take on shipped digits nets, in CPU seconds of one thread."""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import replace

# Seconds of this process, so that neighbours on the machine do not count; before anybody has taken the other clock.
time.perf_counter = time.process_time

import torch  # noqa: E402

import landscape  # noqa: E402
from landscape.attacks import PGD, LinfBall  # noqa: E402
from landscape.checkup import Patient  # noqa: E402
from landscape.checkup.costs import GRID, forecasts  # noqa: E402
from landscape.data import ImageData, load_data, select  # noqa: E402

SIDE = 2  # of the grid that is scanned, whose points stand for those of the default one
TRAIN, TEST = 400, 60  # examples of either split: the forecast is of these, and a minute does for a net


def main(names: list[str]) -> None:
    """Print forecast, time taken, and ratio of the three commands with their defaults, for each net."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)
    data, test = _first(load_data("digits"), TRAIN), _first(load_data("digits", split="test"), TEST)
    for name in names:
        eps = float(name.removeprefix("digits/eps"))
        net = landscape.load_model(name)
        patient = Patient(net, data, select(data, None), PGD(LinfBall(eps)), {}, lambda split: test)
        expected = {row.command: row.seconds for row in forecasts(patient)}
        settings = {"directions": "random", "grid": (SIDE, SIDE), "range": 0.5, "audited": 0}
        for command, work, scale in (
            ("hessian", lambda: landscape.hessian(net, data, eps=eps), 1.0),  # noqa: B023
            ("surface", lambda: landscape.surface(net, data, eps=eps, **settings), GRID / SIDE**2),  # noqa: B023
            ("evaluate", lambda: landscape.evaluate(net, test, eps=eps, adequacy=False), 1.0),  # noqa: B023
        ):
            began = time.process_time()
            work()
            taken = scale * (time.process_time() - began)
            ratio = taken / expected[command]
            print(
                f"{name} {command}: forecast {expected[command]:.1f} s, took {taken:.1f} s, ratio {ratio:.2f}",
                flush=True,
            )


def _first(data: ImageData, n: int) -> ImageData:
    return replace(data, images=data.images[:n], labels=data.labels[:n])


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits/eps0.1", "digits/eps0.05"])
