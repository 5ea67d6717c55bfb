"""What lies in the folders of a report: each result as small as a page needs it, and what is left out, and why."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ..errors import ResultError
from ..results import KINDS, Result, growing_progress, is_growing, read_kind, read_result
from ..results.store import array_shapes

MOST = 2_000  # places of one dimension that a page shows
SIDE = 201  # of the axes of a surface
ROWS = 200_000  # of all training runs together
FEWEST = 200  # rows of a run that are left, however many runs there are
_SINGLE = {"P", "n", "m"}  # parameters, and examples taken singly: large, and no view of them needs all

# Of the kinds on a page.
ORDER = ("surface", "hessian", "traces", "connect", "evaluate", "scattering", "sharpness", "theory")

Progress = Callable[[str, int, int], None]


def kinds_in_order() -> list[str]:
    """Return the kinds in the order of a page; those that have no place there come last."""
    return [*ORDER, *(kind for kind in KINDS if kind not in ORDER)]


@dataclass(frozen=True)
class Source:
    """A result file of a report: its name there, which no other has, and what was left away of it, in words."""

    path: Path
    name: str
    result: Result
    thinned: str


@dataclass(frozen=True)
class Left:
    """A file that the report does not show, and why."""

    path: Path
    reason: str


def gather(places: Sequence[Path], *, progress: Progress | None = None) -> tuple[list[Source], list[Left]]:
    """Return the results under folders or files, by kind and name, and what is left out.

    Raises ResultError where a place is not there, or where nothing in any of them can be shown.
    """
    files, unfinished = _files(places)
    names = dict(zip(files, _names(files), strict=True))
    kinds: dict[Path, str] = {}
    left = []
    for path in files:
        try:
            kinds[path] = read_kind(path)
        except ResultError as error:
            left.append(Left(path, _without(str(error), path)))
    runs = sum(kind == "traces" for kind in kinds.values())
    rows = max(FEWEST, min(MOST, ROWS // max(runs, 1)))
    found = []
    for number, (path, kind) in enumerate(kinds.items()):
        if progress is not None:
            progress("reading results", number, len(kinds))
        try:
            result, thinned = read_small(path, kind, rows=rows)
        except ResultError as error:
            left.append(Left(path, _without(str(error), path)))
        else:
            found.append(Source(path, names[path], result, thinned))
    left += [Left(path, _progress_of(path)) for path in unfinished]
    where = ", ".join(map(str, places))
    if not found and not left:
        raise ResultError(f"{where} holds no result (.h5); make one first: landscape hessian digits/eps0.1")
    if not found:
        raise ResultError(f"{where} holds no result that can be shown; {left[0].path}: {left[0].reason}")
    return sorted(found, key=lambda source: (kinds_in_order().index(source.result.kind), _natural(source.name))), left


def read_small(path: Path, kind: str, *, rows: int = MOST) -> tuple[Result, str]:
    """Return a result without what belongs to single parameters or examples, long dimensions thinned; and so in words.

    Of a thinned dimension each k-th place is kept. The origin of a surface stays among them.
    """
    spec = KINDS[kind].arrays
    shapes = array_shapes(path)
    wanted = [name for name in shapes if not _SINGLE & set(spec[name].dims) and name != "examples/image"]
    sizes = {dim: size for name in wanted for dim, size in zip(spec[name].dims, shapes[name], strict=True)}
    most = {"x": SIDE, "y": SIDE, "T": rows}
    parts: dict[str, slice] = {}
    for dim, size in sizes.items():
        step = math.ceil(size / most.get(dim, MOST))
        if step > 1:
            parts[dim] = slice(_origin(path, kind, dim) % step, None, step)
    if "N" in parts:  # which of the examples are right: the rates are there already
        wanted = [name for name in wanted if "N" not in spec[name].dims]
        del parts["N"]
    told = [f"each {_ordinal(part.step)} of {sizes[dim]:,} {_WORDS.get(dim, dim)}" for dim, part in parts.items()]
    return read_result(path, only=wanted, parts=parts), ", ".join(told)


_WORDS = {"T": "rows", "x": "values of x", "y": "values of y", "examples/index": "examples"}


def _origin(path: Path, kind: str, dim: str) -> int:
    """Return the place of 0 on an axis of a surface; 0 for what is no axis."""
    if kind != "surface" or dim not in ("x", "y"):
        return 0
    return int(np.argmin(np.abs(read_result(path, only=[dim]).arrays[dim])))


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _files(places: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the result files and the unfinished ones, each once; folders are walked, links to folders are not."""
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir():
            found |= dict.fromkeys(sorted(_walk(place)))
        elif place.exists():
            found[place] = None
        else:
            raise ResultError(f"{place} is not there; name a folder of results, or result files (.h5)")
    once = {os.path.realpath(path): path for path in reversed(found)}
    files = [path for path in found if path in once.values()]
    return (
        [path for path in files if path.suffix != ".partial"],
        [path for path in files if path.suffix == ".partial"],
    )


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.endswith((".h5", ".h5.partial")) and not name.startswith("."):
                yield Path(root, name)


def _names(files: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem, and as many of its folders as tell it from the others of that stem."""
    stems = [str(path.with_suffix("")) for path in files]
    names = [Path(stem).name for stem in stems]
    for depth in range(2, 2 + max((len(path.parts) for path in files), default=0)):
        doubled = {name for name in names if names.count(name) > 1}
        if not doubled:
            break
        names = [
            "/".join(Path(stem).parts[-depth:]) if name in doubled else name
            for stem, name in zip(stems, names, strict=True)
        ]
    return names


def _natural(name: str) -> list[tuple[str, float]]:
    """Return a key that sorts eps0.05 before eps0.1, and epoch9 before epoch10."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(text, float(number or 0)) for text, number in zip_longest(pieces[::2], pieces[1::2])]


def _progress_of(path: Path) -> str:
    try:
        if is_growing(path):
            known, count = growing_progress(path)
            return f"unfinished: {known:,} of {count:,} points; the command that began it goes on from there"
    except ResultError as error:
        return _without(str(error), path)
    return "unfinished; the command that began it resumes it"


def _without(sentence: str, path: Path) -> str:
    """Return what was wrong with a file, without its name, which stands beside."""
    return sentence.removeprefix(str(path)).lstrip(": ")
