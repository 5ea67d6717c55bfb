"""Can a result file be trusted? Its numbers recomputed from its checkpoint, and what differs, by name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import ResultError, UsageError
from ..losses import NAMED, Loss, cross_entropy
from ..results import Result, read_result
from . import beside, connect, evaluate, hessian, scattering, sharpness, surface, theory, traces, training
from .case import Case
from .numbers import ACROSS, NUDGES, Check, Nets, Unit, judge, nudge
from .origin import Given, Origin

__all__ = ["ACROSS", "CHECKS", "Check", "Recheck", "recheck"]

Progress = Callable[[str, int, int], None]

# What a recheck of each kind recomputes: a function from a case to its units. A new kind is one more line.
CHECKS: dict[str, Callable[[Case], Iterator[Unit]]] = {
    "connect": connect.units,
    "evaluate": evaluate.units,
    "hessian": hessian.units,
    "scattering": scattering.units,
    "sharpness": sharpness.units,
    "surface": surface.units,
    "theory": theory.units,
    "traces": traces.units,
}
# What of a file of each kind is taken on trust, in words.
ASIDE: dict[str, Callable[[Case], Iterator[str]]] = {
    "connect": connect.not_rechecked,
    "hessian": beside.not_rechecked,
    "surface": surface.not_rechecked,
    "traces": traces.not_rechecked,
}
_WITHOUT_NETS = ("theory",)
# What arrays of sizes that do not fit one another, or an attribute of a forger's, come to.
_DISORDER = (LookupError, ValueError, TypeError, ArithmeticError)


@dataclass(frozen=True, eq=False, repr=False)
class Recheck:
    """What a recheck found: every number that was recomputed, in `checks`; `passed` where all agree.

    `aside` says in words what of the file was not recomputed, and is taken on trust.
    """

    path: Path
    kind: str
    checks: list[Check]
    aside: list[str] = field(default_factory=list)
    across: str = ""  # the two devices, where the file was made on another kind than it was rechecked on

    @property
    def passed(self) -> bool:
        """Whether every number agrees within its tolerance."""
        return not self.differing

    @property
    def differing(self) -> list[Check]:
        """The numbers that do not."""
        return [check for check in self.checks if not check.passed]

    def __repr__(self) -> str:
        if self.passed:
            return f"<Recheck {self.path}: PASS, {len(self.checks):,} numbers>"
        return f"<Recheck {self.path}: {len(self.differing):,} of {len(self.checks):,} numbers differ>"


def recheck(
    path: str | Path,
    *,
    checkpoint: str | Path | Sequence[str | Path] = (),
    model: str | nn.Module | Sequence[nn.Module] | None = None,
    data: Any = None,
    data_dir: str | Path | None = None,
    sample: int | str | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    progress: Progress | None = None,
) -> Recheck:
    """Recompute a part of a result file from its checkpoint and its recorded settings, and compare.

    Checkpoints, control points and data are found by the names in the file and known by their SHA-256; `checkpoint`
    (one path or several), `model` (a SPEC, or nets) and `data` name what is not found, or may not be: a file's word
    runs no code. `sample` is how many eigenpairs, points, places, examples or rows are recomputed, or "all"; each kind
    has a default; `seed` draws them. Numbers that follow from others in the file are compared too, all of them.

    Raises ResultError for a file that is no finished result of this version, and where a source is missing or is
    another than the file was made from.
    """
    path = Path(path)
    if (
        sample is not None
        and sample != "all"
        and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1)
    ):
        raise UsageError(f"sample = {sample!r}; wanted a whole number, 1 or more, or 'all'")
    result = read_result(path)
    if result.kind not in CHECKS:
        raise ResultError(f"{path} is a {result.kind} result, of which nothing can be recomputed yet")
    if result.attrs.get("status") == "partial":
        raise ResultError(f"{path} is a partial result; repeat the command that began it, then recheck what it writes")
    of_curve = result.kind == "traces" and result.attrs.get("measured") == "mini-batches"
    if of_curve and not result.attrs.get("checkpoint_sha256"):
        raise ResultError(
            f"{path} are the traces of a curve's training, whose nets were not kept; recheck its connect result"
        )
    paths = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    loss = _loss_of(path, result, loss)
    targets = loss is not cross_entropy
    given = Given(checkpoints=paths, model=model, data=data, data_dir=data_dir, device=device, targets=targets)
    case = Case(path, result, Origin(path, result, given), sample, seed, batch_size, loss)
    _ = case.data
    nets: Nets = [] if result.kind in _WITHOUT_NETS else case.nets
    made: list[list[nn.Module]] = []
    across = _across(result, device) if nets else ""
    widened = ACROSS if across else 1.0

    def nudged() -> Sequence[Nets]:
        if not made:
            made.extend([nudge(net, number, widened=widened) for net in nets] for number in range(1, NUDGES + 1))
        return made

    checks: list[Check] = []
    try:
        common = [] if result.kind in _WITHOUT_NETS else training.units(case)
        units = [*common, *CHECKS[result.kind](case)]
        for number, unit in enumerate(units):
            if progress is not None:
                progress("rechecked", number, len(units))
            checks += judge(unit, nets, nudged, widened=widened)
    except (UsageError, *_DISORDER) as error:  # nothing that was typed: sources and options have been read above
        said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise ResultError(f"{path} does not hold together ({said}); it is damaged or forged") from error
    if progress is not None:
        progress("rechecked", len(units), len(units))
    aside = list(ASIDE[result.kind](case)) if result.kind in ASIDE else []
    if result.kind not in _WITHOUT_NETS:
        aside.append("how the nets were trained, beyond what their checkpoints say")
    return Recheck(path, result.kind, checks, aside, across)


def _across(result: Result, device: str) -> str:
    """Return in words on what a result was made and is rechecked, where these are of two kinds; else nothing."""
    made = str(result.attrs.get("device") or "").partition(":")[0]
    now = str(device).partition(":")[0]
    return f"made on {made}, rechecked on {now}" if made.isalpha() and made != now else ""


def _loss_of(path: Path, result: Result, given: Loss) -> Loss:
    """Return the loss that a result is of: the one given, or ours that it names; code that it names is not run."""
    named = result.attrs.get("loss_function")
    if given is not cross_entropy or not isinstance(named, str):
        return given
    if named not in NAMED:
        raise ResultError(
            f"{path} names the code {named} as its loss, and a file's word runs no code; "
            f"type --loss {shlex.quote(named)}"
        )
    return NAMED[named]


def grouped(checks: Sequence[Check]) -> Mapping[str, list[Check]]:
    """Return the checks by their groups, in order."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check.group, []).append(check)
    return found
