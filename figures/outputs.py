"""What every figure script writes: files that share a stem, each whole or not at all, and what they were made from."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure

from landscape.errors import LandscapeError, ResultError, UsageError
from landscape.files import atomic_path, sha256_of
from landscape.plots import save_figure, style
from landscape.results import Result, caveats, command_line, provenance, read_kind

Drawn = tuple[list[Path], list[Path]]  # files written, inputs left out
_STAMPS = "landscape.figures.stamps"  # where a script's context keeps what --stamp says


def _keep(ctx: click.Context, param: click.Parameter, lines: tuple[str, ...]) -> None:
    ctx.meta[_STAMPS] = lines


# Of every script: `write_outputs` writes it above the figure, whatever else stands there.
stamp_option = click.option(
    "--stamp", multiple=True, expose_value=False, callback=_keep, metavar="TEXT", help="Write this above; repeatable."
)


def stamps_asked() -> tuple[str, ...]:
    """Return what the running script was told to write above its figure."""
    context = click.get_current_context(silent=True)
    return () if context is None else context.meta.get(_STAMPS, ())


def output_stem(out: Path, name: str) -> Path:
    """Return `out` without .pdf or .png, or `name` in the folder that it is; the outputs of a script share it."""
    if out.is_dir():
        return out / name
    if out.suffix.lower() in (".pdf", ".png"):
        return out.with_suffix("")
    if out.suffix and not out.suffix[1:].isdigit():  # results-v1.2 has no suffix
        raise UsageError(f"--out {out} ends in {out.suffix}; wanted .pdf or .png (both are written)")
    return out


def of_kind(inputs: Sequence[Path], kind: str, *, remedy: str) -> Drawn:
    """Return the inputs of a kind, and those of others; raise ResultError where there are inputs, and none fits.

    `remedy` is the command that makes such a result.
    """
    skipped = [path for path in inputs if read_kind(path) != kind]
    used = [path for path in inputs if path not in skipped]
    if inputs and not used:
        raise ResultError(f"none of the {len(inputs)} files is a {kind} result; make one with: {remedy}")
    return used, skipped


def write_outputs(
    stem: Path,
    figure: Figure,
    tables: Mapping[str, str],
    *,
    inputs: Sequence[Any],
    left_out: Sequence[Path],
    command: str,
) -> list[Path]:
    """Write a figure as PDF and PNG, its `tables` (by their suffix: ".csv"), and how all was made as JSON.

    `inputs` are the records of the results drawn (`input_record`). Returns the paths, the JSON last.
    """
    style.stamp_more(figure, stamps_asked())
    written = [save_figure(figure, stem.with_name(stem.name + suffix)) for suffix in (".pdf", ".png")]
    written += [write_text(stem.with_name(stem.name + suffix), text) for suffix, text in tables.items()]
    made = {
        **provenance(command=command),
        "outputs": [path.name for path in written],
        "inputs": list(inputs),
        "left_out": [str(path) for path in left_out],
        "stamps": list(stamps_asked()),
    }
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    return [*written, write_text(stem.with_name(stem.name + ".json"), text)]


def run(script: str, kind: str, draw: Callable[[str], Drawn]) -> None:
    """Call `draw` with the command line as typed, and say what was written and left out; what fails is one sentence."""
    try:
        written, left_out = draw(command_line([script, *sys.argv[1:]]))
    except LandscapeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    for path in left_out:
        click.echo(f"left out {path}: no {kind} result", err=True)
    click.echo("wrote " + ", ".join(str(path) for path in written))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def training_seed(result: Result) -> Any:
    """Return the seed that a result's net was trained with, or None where the file does not say."""
    training = result.attrs["training"]
    return training.get("seed") if isinstance(training, dict) else None


def write_text(path: Path, text: str) -> Path:
    """Write a text, in place of what is there, and return its path."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def input_record(path: Path, result: Result, told: Sequence[str]) -> dict[str, Any]:
    """Return what identifies an input: the file and its hash, the attributes `told`, and its caveats."""
    attributes = {name: result.attrs[name] for name in told}
    return {"file": str(path), "sha256": sha256_of(path), **attributes, "caveats": caveats(result)}
