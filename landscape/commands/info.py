"""`landscape info FILE`: what a checkpoint, a result or an unfinished run is, and how it was made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from .. import options
from ..terminal import print_pairs
from ..units import format_eps

# The attack of the last judgement is another than that of training.
_FINAL = {"attack": "judged by"}


@click.command(epilog="Example: landscape info digits/eps0.1")
@click.argument("file", metavar="FILE")
@options.key
def command(file: str, key: str | None) -> None:
    """Say what FILE is: a checkpoint (.pt, .safetensors or a shipped name), a result (.h5), an unfinished run."""
    if file.endswith(".partial"):
        print_pairs(_unfinished(Path(file)))
    elif file.endswith((".h5", ".hdf5")):
        from ..results import describe

        print_pairs(describe(Path(file)))
    else:
        print_pairs(_checkpoint(file, key))


def _unfinished(path: Path) -> list[tuple[str, str]]:
    from ..results import growing_progress, is_growing, read_snapshot

    if is_growing(path):
        known, count = growing_progress(path)
        return [
            ("unfinished scan", f"{path}; the command that began it goes on from there"),
            ("done", f"{known:,} of {count:,} points"),
        ]
    arrays, _ = read_snapshot(path)
    lines = [("unfinished run", f"{path}; the command that began it resumes it")]
    values, residuals = arrays.get("values"), arrays.get("residuals")
    if values is not None and residuals is not None and values.ndim == 1 and values.shape == residuals.shape:
        pairs = zip(values.tolist(), residuals.tolist(), strict=True)
        lines += [
            (f"eigenvalue {k}", f"{value:.5g}, residual {residual:.1e}") for k, (value, residual) in enumerate(pairs, 1)
        ]
    return lines


def _checkpoint(source: str, key: str | None) -> list[tuple[str, str]]:
    from ..checkpoint import read_checkpoint

    checkpoint = read_checkpoint(source, key=key)
    parameters = sum(tensor.numel() for tensor in checkpoint.state_dict.values())
    training = dict(checkpoint.training)
    final = {_FINAL.get(name, name): value for name, value in (training.pop("final", None) or {}).items()}
    history = training.pop("history", None) or []
    curve = training.pop("curve", None)
    lines = [
        ("checkpoint", f"{checkpoint.name} ({checkpoint.path})"),
        ("sha256", checkpoint.sha256),
        ("model", checkpoint.model or "unknown: bare weights; give --model"),
        ("data", checkpoint.data or "unknown: give --data"),
        *([] if not isinstance(curve, dict) else [("curve", _curve(curve))]),
        *(("chosen", note) for note in (*checkpoint.notes, checkpoint.guess) if note),
        ("tensors", f"{len(checkpoint.state_dict)}, {parameters:,} numbers"),
        *((name, _text(name, value)) for name, value in training.items() if _known(value)),
        ("epochs in history", str(len(history))),
        *((name.replace("_", " "), _text(name, value)) for name, value in final.items() if _known(value)),
        *((f"made with {name}", str(version)) for name, version in checkpoint.versions.items()),
    ]
    return [line for line in lines if line != ("epochs in history", "0")]


def _curve(told: dict[str, Any]) -> str:
    between = " to ".join(map(str, told.get("ends", [])))
    return f"{told.get('net')} of a {told.get('kind')} from {between}; {told.get('steps')} updates"


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _text(name: str, value: Any) -> str:
    if isinstance(value, float):
        if name.endswith("error"):
            return f"{100 * value:.2f} %"
        return format_eps(value) if name.startswith("eps") and name != "epsilon" else f"{value:.5g}"
    return str(value)
