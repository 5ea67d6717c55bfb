"""Other people's checkpoints: where the state dict lies, which of several, under which prefixes, and its normalisation.

What is chosen is told (`Weights.notes`), and a key overrules it. The names that training scripts use are those of
robust_overfitting, AWP, TRADES, Madry's robustness, MAIR, RobustBench, timm and torch's own wrappers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, UsageError
from .safe_load import check_tensors, show
from .stubs import state_of

# Taken off again and again, at the start only, and only where every key begins so: "x.module.w" is a layer's own name.
_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "basic_net.",
    "attacker.model.",
    "backbone.",
    "rmodel.",
    "0.",
    "1.",
)
_TWICE = "attacker.model."  # Madry's robustness holds the net a second time under this
# Not nets, whatever tensors are in them.
_APART = re.compile(r"optim|sched|scaler|(^|_)(rng|amp)($|_)|loader|history|args|config|grad", re.IGNORECASE)
_AVERAGE = re.compile(r"(^|[_.])(ema|swa|averaged?|shadow)(?=$|[_.])", re.IGNORECASE)
_MEANS = {"mu": "sigma", "mean": "std", "new_mean": "new_std", "input_mean": "input_std"}
_NORMALISERS = re.compile(r"(^|.*\.)(|0|norm|normali[sz]er?|normali[sz]ation|normali[sz]e_layer|preprocess\w*)$")
_DEEPEST, _MOST_VISITED, _LISTED = 5, 10_000, 6


@dataclass(frozen=True, eq=False)
class Normalisation:
    """What images (N, C, H, W) in [0, 1] are shifted and divided by before the net sees them, each (C, 1, 1).

    `source` is the mean as it lay among a file's tensors: a net that has it normalises by itself.
    """

    mean: Tensor
    std: Tensor
    source: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by name, as the plain net has them; `namings` holds every way to name them, as they came first.

    `normalisation` is what the file held beside the net, None where it held none; the first namings have its tensors.
    """

    state_dict: dict[str, Tensor]
    namings: tuple[dict[str, Tensor], ...]
    normalisation: Normalisation | None
    notes: tuple[str, ...]


def find_weights(path: Path, loaded: Any, *, key: str | None = None) -> Weights:
    """Return the weights in what a file of other people's holds; `key` says which, where it holds several.

    Raises CheckpointError where there are none, or several and nothing tells which; UsageError for a key that is not
    there, or names no weights.
    """
    found = dict(_candidates(loaded, "", {}, [_MOST_VISITED]))
    curve_end = key if key is not None and re.fullmatch(r"_\d+", key) else None
    name, note = _choose(path, loaded, found, None if curve_end else key)
    tensors = check_tensors(path, found[name])
    tensors, told = _without_curve(path, tensors, curve_end)
    namings, normalisation, more = _unwrap(path, tensors)
    return Weights(namings[-1], tuple(namings), normalisation, tuple(filter(None, (note, told, *more))))


def _candidates(item: Any, name: str, seen: dict[int, str], left: list[int]) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield the mappings that are mostly tensors, by the keys that lead to them, and whole modules as state dicts."""
    left[0] -= 1
    if left[0] < 0 or id(item) in seen or name.count(".") > _DEEPEST:
        return
    seen[id(item)] = name
    state = state_of(item)
    if state is not None:
        if state:
            yield name, state
        return
    if not isinstance(item, Mapping):
        return
    tensors = sum(isinstance(value, Tensor) for value in item.values())
    if 2 * tensors > len(item) and any(isinstance(value, Tensor) and value.dim() for value in item.values()):
        yield name, dict(item)
        return
    for key, value in item.items():
        if isinstance(key, str) and not _APART.search(key):
            yield from _candidates(value, f"{name}.{key}" if name else key, seen, left)


def _choose(path: Path, loaded: Any, found: Mapping[str, dict[Any, Any]], key: str | None) -> tuple[str, str | None]:
    if key is not None:
        wanted = [name for name in found if name == key or name.endswith(f".{key}")]
        if len(wanted) != 1:
            held = _listed(found) if found else "none"
            raise UsageError(f"{path} holds no weights under {key!r}; it holds {held}")
        return wanted[0], f"weights under {show(wanted[0])!r}, as asked"
    if not found:
        if isinstance(loaded, Mapping):
            raise CheckpointError(f"{path} holds no weights; save them with torch.save(model.state_dict(), FILE)")
        kind = show(type(loaded).__name__)
        raise CheckpointError(f"{path} holds {kind}, wanted tensors by name; save model.state_dict()")
    plain = [name for name in found if not is_average(name, found)] or list(found)
    if {name.rpartition(".")[2] for name in plain} == {"last", "best"}:
        plain = [name for name in plain if name.endswith("last")]  # "best" was chosen on the test set, as a rule
    if len(plain) > 1:
        raise CheckpointError(f"{path} holds several nets ({_listed(plain)}); say which: --key {show(plain[0])}")
    name = plain[0]
    if len(found) == 1:
        return name, f"weights under {show(name)!r}" if name else None
    others = _listed([other for other in found if other != name])
    return name, f"weights under {show(name)!r}; the file also holds {others}, which --key takes"


def is_average(name: str, among: Mapping[str, Any]) -> bool:
    """Say whether weights of this name are a moving average: by their name, or as what `unaveraged_...` is not."""
    head, _, last = name.rpartition(".")
    raw = f"{head}.unaveraged_{last}" if head else f"unaveraged_{last}"
    return raw in among or _AVERAGE.search(name) is not None


def _unwrap(path: Path, tensors: dict[str, Tensor]) -> tuple[list[dict[str, Tensor]], Normalisation | None, list[str]]:
    """Take wrappers' prefixes off; return every naming on the way, the normalisation set aside, and what was done."""
    namings, taken, notes = [tensors], "", []
    normalisation: Normalisation | None = None
    tensors = {name: value for name, value in tensors.items() if name != "n_averaged"}  # torch's AveragedModel counts
    while True:
        namings.append(tensors)
        plain, held = _set_aside(path, tensors)
        plain, twice = _once(path, plain)
        # "0." and "1." are layers of a Sequential; the net itself only where a normalisation stands before it.
        prefixes = _PREFIXES if held is not None else _PREFIXES[:-2]
        prefix = next((one for one in prefixes if plain and all(name.startswith(one) for name in plain)), None)
        if twice:
            notes.append(f"the net is there twice, the same under {_TWICE!r}")
        elif prefix is not None and all(name.startswith(prefix) for name in tensors):
            plain, held = tensors, None  # whatever normalises lies within as well, for another round
        normalisation = normalisation or held
        if prefix is None:
            namings.append(plain)
            break
        tensors = {name.removeprefix(prefix): value for name, value in plain.items()}
        taken += prefix
    if taken:
        notes.append(f"prefix {taken!r} taken off the names")
    if normalisation is not None:
        mean, std = (", ".join(f"{v:.4g}" for v in part.flatten()) for part in (normalisation.mean, normalisation.std))
        notes.append(f"normalisation found beside the net (mean {mean}; std {std})")
    return namings, normalisation, notes


def _set_aside(path: Path, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], Normalisation | None]:
    """Return the tensors without those of a normalisation of the images, and these; None where there are none."""
    found: list[Normalisation] = []
    aside: set[str] = set()
    for name, mean in tensors.items():
        parent, dot, last = name.rpartition(".")
        spread = f"{parent}{dot}{_MEANS.get(last, '')}"
        std = tensors.get(spread) if last in _MEANS else None
        if std is None or not _NORMALISERS.fullmatch(parent) or not _per_channel(mean, std):
            continue
        if not bool((std > 0).all()):
            raise CheckpointError(f"{path} divides images by {spread}, which is not positive; it is damaged")
        found.append(Normalisation(mean.float().reshape(-1, 1, 1), std.float().reshape(-1, 1, 1), mean))
        aside |= {name, spread}
    if not found:
        return tensors, None
    first = found[0]
    if any(not torch.equal(one.mean, first.mean) or not torch.equal(one.std, first.std) for one in found[1:]):
        raise CheckpointError(f"{path} holds several normalisations of images; save the net that you mean alone")
    return {name: value for name, value in tensors.items() if name not in aside}, first


def _per_channel(mean: Tensor, std: Tensor) -> bool:
    sizes = {mean.numel(), std.numel()}
    floating = mean.is_floating_point() and std.is_floating_point()
    return floating and len(sizes) == 1 and sizes <= {1, 3} and max(mean.dim(), std.dim()) <= 4


def _once(path: Path, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors without a second copy of the net; raise CheckpointError where the copies differ."""
    for start in ("", "module."):
        second = {
            name.removeprefix(start + _TWICE): v for name, v in tensors.items() if name.startswith(start + _TWICE)
        }
        first = {name: v for name, v in tensors.items() if name.removeprefix(f"{start}model.") in second}
        first = {name: v for name, v in first.items() if name.startswith(f"{start}model.")}
        if second and len(first) == len(second) and len(first) + len(second) == len(tensors):
            if any(
                not torch.equal(value, second[name.removeprefix(f"{start}model.")]) for name, value in first.items()
            ):
                raise CheckpointError(f"{path} holds two different nets (model. and {_TWICE}); save one alone")
            return first, True
    return tensors, False


def _without_curve(path: Path, tensors: dict[str, Tensor], end: str | None) -> tuple[dict[str, Tensor], str | None]:
    """Return the net of one control point of a published curve model, whose weights have suffixes _0 to _n."""
    curved = {name: match for name in tensors if (match := re.fullmatch(r"(.*\.(?:weight|bias))_(\d+)", name))}
    if not curved:
        if end is not None:
            raise UsageError(f"{path} is no curve model, and has no control point {end!r}; leave --key out")
        return tensors, None
    numbers = sorted({int(match[2]) for match in curved.values()})
    if end is None or int(end[1:]) not in numbers:
        first, last = numbers[0], numbers[-1]
        raise UsageError(
            f"{path} is a curve of {len(numbers)} control points (weights _{first} to _{last}) and no single net; "
            f"take the net at one end: --key _{first}, or --key _{last}"
        )
    shared = {name: value for name, value in tensors.items() if name not in curved}
    chosen = {match[1]: tensors[name] for name, match in curved.items() if match[2] == end[1:]}
    note = f"control point {end} of a curve of {len(numbers)}"
    return {**chosen, **shared}, note + ("; BatchNorm's buffers are the curve's" if shared else "")


def _listed(names: Any) -> str:
    shown = [show(name) or "the file's own dict" for name in names]
    return ", ".join(shown[:_LISTED]) + (f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else "")
