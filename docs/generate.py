"""Write the pages that follow from the code: cli.md from --help, formats.md from the schema, python.md from docstrings.

    python docs/generate.py

A test holds the pages in docs/ to what this makes; the width of help is fixed, so that any terminal makes the same.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import landscape
from landscape.cli import COMMANDS, main
from landscape.results.kinds import COMMON, KINDS
from landscape.results.kinds.declare import Array, Attribute
from landscape.results.schema import SCHEMA_VERSION

DOCS = Path(__file__).resolve().parent
WIDTH = 86  # characters of help that a page shows without scrolling
MADE = "<!-- Made by docs/generate.py; do not edit. -->\n"

CLI = """# The command line

What `landscape COMMAND --help` says, command by command. [The commands](commands.md) shows what each is for, with a
picture.

Exit codes: 0; 1 a failure, which the message explains; 2 wrong usage; 3 computed and written, but not converged to what
was asked; 130 interrupted (Ctrl-C, SIGTERM): what was done is kept, and the same command goes on from there.
"""

FORMATS = f"""# Result files

One HDF5 file for each result (schema version {SCHEMA_VERSION}), which says by itself what it is of and how it was made.
`landscape info FILE.h5` prints it, `landscape.load("FILE.h5")` reads it, and so do h5py and xarray without Landscape:

```python
import h5py
import xarray

with h5py.File("hessian.h5") as file:
    print(dict(file.attrs)["eps"], file["eigenvalues"][:])
print(xarray.open_dataset("hessian.h5", engine="h5netcdf")["eigenvalues"])
```

- Radii are in pixel units of [0, 1], losses in nats, error rates are fractions. A number that was not computed is NaN.
- Every dimension has its name and a scale in the file. Grids are `(y, x)`: rows first.
- A name `group/array` lies in a group of the file. Arrays in *italics* are there where they were asked for.
- An unfinished run lies in `FILE.h5.partial`, and is renamed when it is complete; a result is replaced whole or not at
  all.
- `status` is `complete`, `partial` (interrupted, with what was done) or `not-converged`.

A checkpoint, `NAME.pt`, is a dict of tensors and plain Python that `torch.load(weights_only=True)` takes: `format`,
`state_dict`, `model` and `data` (specs), `training` (settings, seed, eps, epoch, history), `versions`.
"""

PYTHON = """# Python

`import landscape` loads no torch: each name is imported when it is first used. Where `data` is wanted it is
`(images, labels)`, a Dataset or a DataLoader, images in [0, 1]. What only the commands hand over (progress, snapshots,
provenance) is left out of the signatures.
"""
PLUMBING = ("provenance_of", "progress", "snapshot", "keeper")


def command_line() -> str:
    """Return cli.md: the help of every command, in the order of `landscape --help`."""
    parts = [CLI]
    with main.make_context("landscape", [], resilient_parsing=True, terminal_width=WIDTH) as parent:
        parts.append(_help(main.get_help(parent)))
        for name in COMMANDS:
            command = main.get_command(parent, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH) as context:
                parts.append(f"## landscape {name}\n\n{COMMANDS[name]}\n\n{_help(command.get_help(context))}")
    return MADE + "\n" + "\n".join(parts)


def formats() -> str:
    """Return formats.md: the root attributes that all kinds share, then each kind's arrays and attributes."""
    parts = [FORMATS, "## Attributes of every kind\n\n" + _attributes(COMMON)]
    for name, kind in KINDS.items():
        own = {key: spec for key, spec in kind.attributes.items() if COMMON.get(key) != spec}
        parts.append(f"## {name}\n\n{_escaped(kind.title[:1].upper() + kind.title[1:])}.\n\n{_arrays(kind.arrays)}")
        if own:
            parts.append(_attributes(own))
    return MADE + "\n" + "\n".join(parts)


def python() -> str:
    """Return python.md: the signature and the docstring of every public name."""
    names = sorted((name for name in landscape.__all__ if not name.startswith("_")), key=str.lower)
    functions = [name for name in names if not inspect.isclass(getattr(landscape, name))]
    parts = [PYTHON]
    for title, members in (("Functions", functions), ("Classes", [name for name in names if name not in functions])):
        parts.append(f"## {title}\n")
        parts += [_member(f"landscape.{name}", getattr(landscape, name)) for name in members]
    return MADE + "\n" + "\n".join(parts)


def _help(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


def _arrays(arrays: Mapping[str, Array]) -> str:
    rows = []
    for name, spec in arrays.items():
        codes = "; ".join(f"{code} {word}" for code, word in spec.codes.items())
        shown = f"`{name}`" if spec.required else f"*`{name}`*"
        meaning = spec.meaning + (f": {codes}" if codes else "")
        rows.append((shown, f"({', '.join(spec.dims)})", spec.dtype, _escaped(spec.units), _escaped(meaning)))
    return _table(("array", "dimensions", "dtype", "units", "meaning"), rows)


def _attributes(attributes: Mapping[str, Attribute]) -> str:
    rows = []
    for name, spec in attributes.items():
        choices = f": {', '.join(spec.choices)}" if spec.choices else ""
        shown = f"`{name}`" if spec.required else f"*`{name}`*"
        rows.append((shown, spec.type + (" or none" if spec.optional else ""), _escaped(spec.meaning + choices)))
    return _table(("attribute", "type", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _member(name: str, thing: Any) -> str:
    text = f"### {name}\n\n{_signature(name, thing)}{_prose(inspect.getdoc(thing) or '')}"
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        for key, method in _methods(thing):
            summary = (inspect.getdoc(method) or "").partition("\n")[0]
            called = f"{key}({_parameters(method, skip=1)})" if callable(method) else key
            text += f"\n- `{called}`: {_escaped(summary)}"
        text += "\n"
    return text


def _methods(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class itself documents, in the order of the source."""
    for key, method in vars(thing).items():
        if key.startswith("_") and key != "__call__":
            continue
        found = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if (inspect.isfunction(found) or isinstance(found, property)) and inspect.getdoc(found):
            yield key, found


def _signature(name: str, thing: Callable[..., Any]) -> str:
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return ""
    whole = f"{name}({_parameters(thing)})"
    if len(whole) > WIDTH:
        whole = f"{name}(\n    {_parameters(thing, between=',' + chr(10) + '    ')},\n)"
    return f"```python\n{whole}\n```\n\n"


def _parameters(thing: Callable[..., Any], *, skip: int = 0, between: str = ", ") -> str:
    """Return the parameters as they stand in the source, annotations and all, without the first `skip`."""
    shown, starred = [], False
    for parameter in list(inspect.signature(thing).parameters.values())[skip:]:
        if parameter.name in PLUMBING:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        starred |= star == "*"
        text = star + parameter.name
        if parameter.annotation is not parameter.empty:
            annotation = parameter.annotation
            text += f": {annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)}"
        if parameter.default is not parameter.empty:
            default = parameter.default
            text += f" = {default.__name__ if inspect.isroutine(default) else repr(default)}"
        shown.append(text)
    return between.join(shown)


def _prose(docstring: str) -> str:
    """Return a docstring as Markdown: paragraphs as they are, indented lines as code."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip()):
        code = all(line.startswith("    ") for line in paragraph.splitlines())
        paragraphs.append(paragraph if code else _escaped(paragraph).replace("docs/method.md", "[Method](method.md)"))
    return "\n\n".join(paragraphs) + "\n"


def _escaped(text: str) -> str:
    """Return plain text with what Markdown would take for its own escaped, but for `code`."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([\\*_<>|\[\]])", r"\\\1", p) for p in pieces)


PAGES: dict[str, Callable[[], str]] = {"cli.md": command_line, "formats.md": formats, "python.md": python}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), encoding="utf-8")
