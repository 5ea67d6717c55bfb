"""Print table 1, the errors of nets by their schedule of eps, from the result files of `landscape evaluate`.

    python figures/table1_schedulers.py results/*.evaluate-*.h5 -o table1.txt

writes table1.txt, table1.tex, table1.csv, and how they were made as table1.json. Runs that differ in their seed alone
are one row, "18.62(6)": the mean and the sample deviation over seeds, in units of the last digit. The snapshots of one
run, judged as an ensemble, are a run of a row of their own. The lowest error of a column is bold where it is lower than
every other row's by a paired 95 % interval: over the seeds that the two share, or, where a row is one run, over
examples, which is about those two nets alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import (  # noqa: E402
    Drawn,
    csv_text,
    input_record,
    of_kind,
    run,
    stamp_option,
    stamps_asked,
    write_text,
)

from landscape.errors import ResultError, UsageError  # noqa: E402
from landscape.results import Result, provenance, read_result  # noqa: E402
from landscape.results.replicates import recipe_of  # noqa: E402
from landscape.statistics import Difference, mcnemar, paired_over_seeds, with_deviation  # noqa: E402

KIND = "evaluate"
TOLD = ("eps", "norm", "attack", "checkpoint", "checkpoint_sha256", "command")
WORST = "worst case"
SUFFIXES = (".txt", ".tex", ".csv", ".json")
_ORDER = {"constant": 0, "linear": 1, "cosine": 2}


@dataclass
class Row:
    """Runs of one recipe: verdicts (A + 1, N), the worst case last, by the seed of the training."""

    label: str
    runs: dict[Any, np.ndarray] = field(default_factory=dict)

    def rates(self, column: int, seeds: Sequence[Any] | None = None) -> list[float]:
        """Return the errors in per cent under one attack, seed by seed."""
        return [100 * float((~self.runs[seed][column]).mean()) for seed in (self.runs if seeds is None else seeds)]


@dataclass(frozen=True)
class Table:
    """Rows and columns of the table, and which cells are bold."""

    attacks: tuple[str, ...]
    rows: tuple[Row, ...]
    bold: np.ndarray  # (rows, columns) bool
    caption: str

    def cell(self, row: int, column: int) -> str:
        """Return a cell as "18.62(6)"."""
        return with_deviation(self.rows[row].rates(column))


def make(inputs: Sequence[Path], out: Path, *, command: str = "") -> Drawn:
    """Write the table of the evaluations among `inputs`; return the files written and the inputs left out."""
    stem = _stem(out)
    used, skipped = of_kind(inputs, KIND, remedy="landscape evaluate CKPT...")
    results = [read_result(path) for path in used]
    found = gather(results)
    table = replace(found, caption="; ".join([*(f"! {line}" for line in stamps_asked()), found.caption]))
    records = [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)]
    made = {**provenance(command=command), "inputs": records, "left_out": [str(path) for path in skipped]}
    texts = {
        ".txt": as_text(table),
        ".tex": as_latex(table),
        ".csv": as_csv(table),
        ".json": json.dumps(made, indent=2, ensure_ascii=False) + "\n",
    }
    return [write_text(stem.with_name(stem.name + suffix), text) for suffix, text in texts.items()], skipped


def gather(results: Sequence[Result]) -> Table:
    """Return the table of several evaluations; raise ResultError where examples or attacks are not the same."""
    first = results[0]
    if any("correct" not in result.arrays for result in results):
        raise ResultError("an evaluation is of labels that are numbers, and has no errors for a table; leave it out")
    for result in results[1:]:
        for name in ("data_sha256", "eps", "norm", "attack", "cascade"):
            if result.attrs[name] != first.attrs[name]:
                raise ResultError(
                    f"the evaluations differ in {name} ({first.attrs[name]} and {result.attrs[name]}); "
                    "one table is of the same examples and attacks: name its files alone"
                )
        if not np.array_equal(result.indices, first.indices):
            raise ResultError("the evaluations are of different examples; give all of them the same --n-examples")
    rows: dict[str, Row] = {}
    for result in results:
        for place, name in enumerate(result.checkpoints.tolist()):
            training = _training(result, place)
            best = Path(name).stem.endswith("-best")
            shared = {key: value for key, value in recipe_of(training).items() if not (best and key == "epoch")}
            key = json.dumps([shared, best, None if training else name], sort_keys=True)
            row = rows.setdefault(key, Row(_label(training, name, best)))
            verdicts = np.vstack([result.correct[place], result.correct[place].all(0)[None]])
            seed = training.get("seed", 0)
            if seed in row.runs:
                raise ResultError(f"{name} is there twice: seed {seed} of {row.label}; name each evaluation once")
            row.runs[seed] = verdicts
    ordered = sorted(rows.values(), key=_place)
    labels = [row.label for row in ordered]
    for row in ordered:
        if labels.count(row.label) > 1:
            raise ResultError(
                f"two recipes are both called {row.label!r}: they differ in more than schedule and seed; "
                "name the files of one table alone"
            )
    attacks = (*(attack.partition(":")[0] for attack in first.attacks.tolist()), WORST)
    bold = np.array([[_is_best(ordered, i, column) for column in range(len(attacks))] for i in range(len(ordered))])
    n = len(first.indices)
    seeds = ", ".join(sorted({str(seed) for row in ordered for seed in row.runs}))
    caption = (
        f"error in % of {n:,} {first.attrs['split']} examples, {first.attrs['norm']} eps {first.attrs['eps']:g}, "
        f"training seeds {seeds}"
    )
    return Table(attacks, tuple(ordered), bold, caption)


def compare(one: Row, other: Row, column: int) -> Difference:
    """Return the difference of two rows in points of error: over shared seeds, or of single runs over examples."""
    seeds = [seed for seed in one.runs if seed in other.runs]
    if len(one.runs) > 1 or len(other.runs) > 1:
        if not seeds:
            return paired_over_seeds([np.nan], [np.nan])
        return paired_over_seeds(one.rates(column, seeds), other.rates(column, seeds))
    a, b = next(iter(one.runs.values())), next(iter(other.runs.values()))
    found = mcnemar(a[column], b[column])
    return Difference(100 * found.value, 100 * found.low, 100 * found.high, found.p, found.level)


def as_text(table: Table) -> str:
    """Return the table to read, bold between asterisks, and under it the paired differences of every two rows."""
    cells = [
        [
            row.label,
            str(len(row.runs)),
            *(_starred(table.cell(i, j), table.bold[i, j]) for j in range(len(table.attacks))),
        ]
        for i, row in enumerate(table.rows)
    ]
    lines = [table.caption, "", *_aligned([["schedule", "runs", *table.attacks], *cells]), ""]
    lines += ["mean(deviation over runs in the last digits); *lowest* where a paired 95 % interval says so", ""]
    differences = [["first - second", *table.attacks]]
    for i, one in enumerate(table.rows):
        for other in table.rows[i + 1 :]:
            found = [compare(one, other, column) for column in range(len(table.attacks))]
            differences.append([f"{one.label} - {other.label}", *(_interval(difference) for difference in found)])
    lines += ["points of error, paired 95 % intervals", "", *_aligned(differences)]
    return "\n".join(lines) + "\n"


def as_latex(table: Table) -> str:
    """Return the table for a paper that uses booktabs."""
    head = " & ".join(["$\\epsilon$ schedule", *map(_escaped, table.attacks)])
    body = []
    for i, row in enumerate(table.rows):
        cells = [table.cell(i, j) for j in range(len(table.attacks))]
        marked = [f"\\textbf{{{cell}}}" if table.bold[i, j] else cell for j, cell in enumerate(cells)]
        body.append(" & ".join([_escaped(row.label), *marked]) + r" \\")
    columns = "l" + "r" * len(table.attacks)
    lines = [f"% {table.caption}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule", head + r" \\", "\\midrule", *body]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def as_csv(table: Table) -> str:
    """Return every run's errors as CSV: a point for each, since a mean over failed and trained runs hides both."""
    rows = []
    for i, row in enumerate(table.rows):
        for seed, verdicts in row.runs.items():
            rates = [float((~verdict).mean()) for verdict in verdicts]
            rows.append([row.label, seed, *rates, *(int(mark) for mark in table.bold[i])])
    return csv_text(["schedule", "seed", *table.attacks, *(f"bold {attack}" for attack in table.attacks)], rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="table1.txt", show_default=True, type=click.Path(path_type=Path))
def main(files: tuple[Path, ...], out: Path) -> None:
    """Set the evaluations in FILES (.h5) as table 1: a row for each schedule of eps, a column for each attack.

    Writes text, LaTeX, CSV, and how they were made as JSON, whichever OUT names. Files of these names are replaced.
    """
    run("table1_schedulers.py", KIND, lambda command: make(files, out, command=command))


def _is_best(rows: Sequence[Row], place: int, column: int) -> bool:
    others = [row for i, row in enumerate(rows) if i != place]
    return bool(others) and all(compare(rows[place], other, column).sign == -1 for other in others)


def _training(result: Result, place: int) -> dict[str, Any]:
    """Return the training of what was judged: a net's own, or that of the run whose snapshots are an ensemble."""
    training = result.attrs["training"]
    if not isinstance(training, list):
        return training if isinstance(training, dict) else {}
    if result.attrs["ensemble"] != "none":
        return _of_snapshots(training)
    entry = training[place] if len(training) == len(result.checkpoints) else {}
    return entry if isinstance(entry, dict) else {}


def _of_snapshots(members: Sequence[Any]) -> dict[str, Any]:
    """Return the training of one run's snapshots, the last's with their number; empty for nets of several runs."""
    if not all(isinstance(member, dict) for member in members):
        return {}
    runs = [(recipe_of(member) | {"epoch": None}, member.get("seed")) for member in members]
    last = max(members, key=lambda member: member.get("epoch") or 0)
    return {**last, "snapshots": len(members)} if all(run == runs[0] for run in runs) else {}


def _label(training: dict[str, Any], name: str, best: bool) -> str:
    label = str(training["eps_schedule"]) if "eps_schedule" in training else name
    if isinstance(periods := training.get("periods"), list) and len(periods) > 1:
        label += f", {len(periods)} periods"
    if "snapshots" in training:
        label += f", ensemble of {training['snapshots']}"
    return label + (", best" if best else "")


def _place(row: Row) -> tuple[bool, int, str]:
    return row.label.endswith(", best"), _ORDER.get(row.label.split(",")[0], len(_ORDER)), row.label


def _stem(out: Path) -> Path:
    if out.is_dir():
        return out / "table1"
    if out.suffix in SUFFIXES:
        return out.with_suffix("")
    if out.suffix and not out.suffix[1:].isdigit():
        raise UsageError(f"--out {out} ends in {out.suffix}; wanted .txt, .tex or .csv (all are written)")
    return out


def _interval(found: Difference) -> str:
    if not np.isfinite(found.low):
        return f"{found.value:+.2f} (one seed)" if np.isfinite(found.value) else "no seed shared"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _starred(cell: str, bold: bool) -> str:
    return f"*{cell}*" if bold else cell


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")


if __name__ == "__main__":
    main()
