"""Draw fig. 4, the test error against the learning rate by schedule of eps, from the files of `landscape evaluate`.

    python figures/fig4_learning_rate.py test-*.h5 --holdout heldout.h5 -o fig4.pdf

writes fig4.pdf and fig4.png, every run as fig4.csv, the failures, medians and means at each rate as fig4-rates.csv, the
differences of the arms with intervals and verdicts as fig4-effects.csv, and how they were made as fig4.json. An arm is
all that runs have in common but seed and learning rate; those of fewer rates beside the full schedules are controls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import (  # noqa: E402
    Drawn,
    csv_text,
    input_record,
    of_kind,
    output_stem,
    run,
    stamp_option,
    write_outputs,
)

from landscape.errors import ResultError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE  # noqa: E402
from landscape.plots.labels import seeds_of  # noqa: E402
from landscape.plots.learning_rate import Panel, figure_learning_rate  # noqa: E402
from landscape.results import read_result  # noqa: E402
from landscape.results.rates import Arm, best_rate, comparisons, read_arms  # noqa: E402
from landscape.units import format_eps  # noqa: E402

KIND = "evaluate"
TOLD = ("eps", "attack", "checkpoint", "checkpoint_sha256", "data_sha256", "command")
CLEAN, WORST = "clean", "worst_case"


def draw(
    inputs: Sequence[Path],
    out: Path,
    *,
    held_out: Sequence[Path] = (),
    quantity: str = WORST,
    clean: bool = True,
    moments: bool = False,
    width: float = DOUBLE,
    command: str = "",
) -> Drawn:
    """Draw the evaluations among `inputs`; return the files written (PDF, PNG, CSVs, JSON) and the inputs left out.

    Raises ResultError where none is left, where nets were judged on other examples or attacks, and where those of
    `held_out`, by which rates are chosen, are the examples that are drawn.
    """
    stem = output_stem(out, "fig4")
    used, skipped = of_kind(inputs, KIND, remedy="landscape evaluate CKPT...")
    arms = read_arms(used, quantity=quantity)
    results = [read_result(path, only=["attacks", "checkpoints"]) for path in used]
    with_clean = clean and quantity != CLEAN and CLEAN in results[0].arrays["attacks"].tolist()
    panels = [Panel("clean test error", read_arms(used, quantity=CLEAN))] if with_clean else []
    attrs = results[0].attrs
    panels.append(Panel(f"test error, {'robust' if quantity == WORST else quantity}", arms))
    chosen = read_arms(held_out, quantity=quantity) if held_out else []
    records = [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)]
    for path in held_out:
        result = read_result(path, only=["checkpoints"])
        if result.attrs["data_sha256"] == attrs["data_sha256"]:
            raise ResultError(f"{path} is of the examples that are drawn; rates are chosen on others, held out")
        records.append({"held_out": True, **input_record(path, result, TOLD)})
    errors = {str(net.sha256): net.value for arm in chosen for net in arm.runs}
    best = {arm.label: best_rate(arm, errors) for arm in arms if not arm.control} if held_out else {}
    model = str(attrs["model"][0] if isinstance(attrs["model"], list) else attrs["model"])
    unknown = sum(net.collapsed is None for arm in arms for net in arm.runs)
    note = (
        f"{model.split(',')[0]}, {attrs['n_examples']:,} {attrs['split']} examples of "
        f"{Path(str(attrs['data'])).name}, {attrs['norm']} ε = {format_eps(float(str(attrs['eps'])))}, "
        f"{attrs['attack']}, {seeds_of(results) or 'seeds unknown'}. "
        "Points: runs, crosses: constant classifiers; lines: median of the others; bars: Wilson's 95 %."
        + (" Rings: the rate of the lowest held-out error." if best else "")
        + (" Grey: mean and deviation over all runs." if moments else "")
    )
    stamps = [f"{unknown} runs do not say whether they failed"] if unknown else []
    figure = figure_learning_rate(panels, best=best, note=note, stamps=stamps, moments=moments, width=width)
    cleans = {str(net.sha256): net.value for arm in panels[0].arms for net in arm.runs} if with_clean else {}
    tables = {
        ".csv": csv_text(_RUNS, _runs(arms, cleans, errors)),
        "-rates.csv": csv_text(_CELLS, _cells(arms, best)),
        "-effects.csv": csv_text(_EFFECTS, _effects(arms, best)),
    }
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


_RUNS = ("arm", "learning_rate", "seed", "clean_error", "error", "held_out_error", "failed", "checkpoint_sha256")
_CELLS = (
    "arm", "learning_rate", "runs", "failed", "failed_low", "failed_high", "median_of_survivors", "mean", "deviation",
    "best",
)  # fmt: skip
_EFFECTS = ("endpoint", "effect", "seeds", "paired", "left_out", "value", "low", "high", "p", "verdict")


def _runs(arms: Sequence[Arm], cleans: Mapping[str, float], held: Mapping[str, float]) -> Iterator[list[Any]]:
    for arm in arms:
        for cell in arm.cells:
            for net in cell.runs:
                own = [cleans.get(str(net.sha256), ""), net.value, held.get(str(net.sha256), "")]
                yield [arm.label, cell.rate, net.seed, *own, net.collapsed, net.sha256]


def _cells(arms: Sequence[Arm], best: Mapping[str, float]) -> Iterator[list[Any]]:
    for arm in arms:
        for cell in arm.cells:
            numbers = [*cell.failure_interval, cell.median, *cell.moments]
            yield [arm.label, cell.rate, len(cell.runs), cell.failed, *numbers, best.get(arm.label) == cell.rate]


def _effects(arms: Sequence[Arm], best: Mapping[str, float]) -> Iterator[list[Any]]:
    for endpoint, found in comparisons(arms, best):
        for group in found.groups:
            mean = group.mean
            own = [group.collapsed, mean.value, mean.low, mean.high]
            yield [endpoint, f"mean, {group.name}", len(group.nets), "", *own, "", ""]
        for effect in found.effects:
            one = effect.interval
            numbers = [one.value, one.low, one.high, one.p]
            yield [endpoint, effect.words, effect.seeds, effect.paired, "", *numbers, effect.verdict]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig4.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--holdout",
    "held_out",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The same nets on held-out examples, by which each schedule's learning rate is chosen; repeatable.",
)
@click.option("--quantity", default=WORST, show_default=True, help="worst_case, or the name of an attack.")
@click.option("--clean/--no-clean", default=True, show_default=True, help="Draw the clean error too.")
@click.option("--moments", is_flag=True, help="Mean and deviation over all runs too, as in the paper.")
@click.option(
    "--single", is_flag=True, help="Fill one column of the page (3.25 in): the robust error and the failures."
)
def main(
    files: tuple[Path, ...],
    out: Path,
    held_out: tuple[Path, ...],
    quantity: str,
    clean: bool,
    moments: bool,
    single: bool,
) -> None:
    """Draw the test error of the nets in FILES (landscape evaluate's .h5) against the learning rate.

    Writes a PDF and a PNG, whichever OUT names, runs, rates and effects as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    run(
        "fig4_learning_rate.py",
        KIND,
        lambda command: draw(
            files,
            out,
            held_out=held_out,
            quantity=quantity,
            clean=clean and not single,
            moments=moments,
            width=SINGLE if single else DOUBLE,
            command=command,
        ),
    )


if __name__ == "__main__":
    main()
