"""Checkpoints: a trained net with all that rebuilds it, saved whole and byte for byte the same; others' read safely."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from . import __version__
from .errors import CheckpointError, UsageError
from .files import atomic_path
from .models import ARCHITECTURES, build_model, model_shape
from .safe_load import check_plain, check_tensors, load_untrusted, show
from .shipped import resolve_checkpoint, shipped_names
from .spec import parse_spec

__all__ = [
    "Checkpoint",
    "load_model",
    "read_checkpoint",
    "rebuild",
    "resolve_checkpoint",
    "save_checkpoint",
    "shipped_names",
]

FORMAT = "landscape-checkpoint/1"
_METADATA_KEY = "landscape"  # a single key: safetensors writes several in random order, and bytes would differ
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint as read: tensors by name on the CPU (float32 or float64, finite), and how they came about.

    `model` and `data` are specs, None for a bare state dict of other people's; `training` is empty there. `points`
    (m, P) are the interior control points of a curve, where the net is one of them.
    """

    state_dict: dict[str, Tensor]
    path: Path
    name: str  # the shipped name, or the file's name without its suffix
    sha256: str
    model: str | None = None
    data: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    points: Tensor | None = None


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    *,
    model_spec: str | None,
    data_spec: str | None,
    training: dict[str, Any],
    points: Tensor | None = None,
    overwrite: bool = False,
) -> Path:
    """Save a net with its specs and its training settings (plain Python); a path in .safetensors takes that format.

    Control points (m, P) of a curve lie beside the net's state in a .pt; .safetensors has no place for them. The same
    content gives the same bytes, whatever the path. Raises LandscapeError where `path` exists and `overwrite` is false,
    or cannot be written; CheckpointError for settings or state that are no plain Python or tensors.
    """
    path = Path(path)
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{name} of the net is {type(value).__name__}, wanted a tensor; keep it out of the state"
            )
    header = {
        "format": FORMAT,
        "names": list(state),
        "model": model_spec,
        "data": data_spec,
        "training": training,
        "versions": {"landscape": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    try:
        # Through JSON: what is left is plain Python, and no two strings are one object, which a pickle would show.
        header = json.loads(json.dumps(header))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the training settings are not plain Python ({error}); give numbers and text") from error
    tensors = {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in zip(header.pop("names"), state.values(), strict=True)
    }
    if points is not None and _is_safetensors(path):
        raise UsageError(f"{path} has no place for control points; name a .pt file")
    kept = {} if points is None else {"points": points.detach().cpu().clone()}
    content = _safetensors_bytes(tensors, header) if _is_safetensors(path) else _torch_bytes(tensors, header | kept)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
    return path


def read_checkpoint(source: str | Path) -> Checkpoint:
    """Read a checkpoint (path, or shipped name such as digits/eps0.1) without running anything that is in it.

    Takes our own .pt and .safetensors, and other people's bare or wrapped state dicts. Raises CheckpointError, in one
    sentence, for a file that is missing, damaged, unsafe, or holds weights that are not finite.
    """
    path = resolve_checkpoint(source)
    try:
        # One handle: what is hashed is what is looked at and loaded, even if the path is replaced meanwhile.
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            loaded, metadata = load_untrusted(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    name = str(source) if str(source) in shipped_names() and Path(source) != path else path.stem
    points = None
    if metadata is not None:
        header = _safetensors_header(path, metadata)
        weights = loaded
    elif isinstance(loaded, dict) and "format" in loaded:
        header = {key: value for key, value in loaded.items() if key not in ("state_dict", "points")}
        weights = loaded.get("state_dict")
        points = loaded.get("points")
    else:
        return Checkpoint(_foreign_weights(path, loaded), path, name, sha256)
    if not header:
        return Checkpoint(_foreign_weights(path, weights), path, name, sha256)
    _check_header(path, header)
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds no state dict under 'state_dict'; copy or download it again")
    known = {key: header[key] for key in ("model", "data", "training", "versions") if key in header}
    if points is not None:
        points = check_tensors(path, {"points": points})["points"]
    return Checkpoint(check_tensors(path, weights), path, name, sha256, **known, points=points)


def load_model(
    source: str | Path | Checkpoint,
    *,
    model: str | None = None,
    input: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> nn.Module:
    """Rebuild the net of a checkpoint with its weights, in eval mode on the CPU; see `rebuild`."""
    return rebuild(source, model=model, input=input, classes=classes)[0]


def rebuild(
    source: str | Path | Checkpoint,
    *,
    model: str | None = None,
    input: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> tuple[nn.Module, str]:
    """Rebuild the net of a checkpoint, in eval mode on the CPU, and return it with its resolved spec.

    `model` names the net where the file does not, and wins where it does; `input` (C, H, W) and `classes` fill what
    neither spec says. The net is float64 where any of its weights is, else float32; but a frozen part of another type
    than the weights that move stays as the code builds it. Raises UsageError where no net is
    named, or the file names code and `model` does not; CheckpointError where the weights do not fit the net, listing
    what is missing, unexpected and mis-shaped.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    spec = _spec_to_build(checkpoint, model)
    named = parse_spec(spec).callable is None
    given = {key: value for key, value in (("input", input), ("classes", classes)) if value is not None}
    try:
        arguments = _shape_for(checkpoint, spec) | given
        # Without memory at first: the file's spec may describe a net of any size, its weights are as large as the file.
        with torch.device("meta" if named else "cpu"):
            net, resolved = build_model(spec, **arguments)
    except UsageError as error:
        if model is not None:
            raise
        raise CheckpointError(f"{checkpoint.path} names a net that cannot be built: {error}") from error
    _check_fit(checkpoint, net, resolved)
    if not _keeps_types(net):
        wide = any(value.dtype == torch.float64 for value in checkpoint.state_dict.values())
        net.to(torch.float64 if wide else torch.float32)
    if named:
        net.to_empty(device="cpu")
    try:
        net.load_state_dict(checkpoint.state_dict, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{checkpoint.path} does not load into {resolved}: {' '.join(str(error).split())}"
        ) from error
    return net.eval(), resolved


def _keeps_types(net: nn.Module) -> bool:
    """Return whether weights that move, all float32 or all float64, stand on frozen ones of another type."""
    moving = {value.dtype for value in net.parameters() if value.requires_grad}
    frozen = {value.dtype for value in net.parameters() if not value.requires_grad and value.is_floating_point()}
    return len(moving) == 1 and moving <= {torch.float32, torch.float64} and bool(frozen - moving)


def _spec_to_build(checkpoint: Checkpoint, model: str | None) -> str:
    if model is not None:
        return model
    if checkpoint.model is None:
        raise UsageError(f"{checkpoint.path} holds weights alone; name their net, such as --model lenet:width=16")
    try:
        runs_code = parse_spec(checkpoint.model).callable is not None
    except UsageError as error:
        raise CheckpointError(f"{checkpoint.path} names a net that cannot be built: {error}") from error
    if runs_code:
        # The file may be a stranger's, and building this net would run whatever it names.
        raise UsageError(
            f"{checkpoint.path} names code for its net, run only if you say so: "
            f"give --model {shlex.quote(checkpoint.model)}"
        )
    return checkpoint.model


def _shape_for(checkpoint: Checkpoint, spec: str) -> dict[str, Any]:
    """Take the image shape and classes from the file's own spec, else the shape that the net was published for."""
    stored = model_shape(checkpoint.model) if checkpoint.model is not None else None
    if stored is not None:
        return {"input": stored[0], "classes": stored[1]}
    architecture = ARCHITECTURES.get(parse_spec(spec).head)
    published = architecture.published_input if architecture is not None else None
    return {"input": published} if published is not None else {}


def _check_fit(checkpoint: Checkpoint, net: nn.Module, resolved: str) -> None:
    wanted, held = net.state_dict(), checkpoint.state_dict
    missing = [name for name in wanted if name not in held]
    unexpected = [show(name) for name in held if name not in wanted]
    misshaped = [
        f"{name} {_by(held[name])} instead of {_by(wanted[name])}"
        for name in wanted
        if name in held and isinstance(wanted[name], Tensor) and held[name].shape != wanted[name].shape
    ]
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, kind in ((missing, "missing"), (unexpected, "unexpected"), (misshaped, "mis-shaped"))
        if names
    ]
    if parts:
        message = f"{checkpoint.path} does not fit {resolved}: {', '.join(parts)}; name its net with --model"
        raise CheckpointError(message)


def _by(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _torch_bytes(tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
    # Into memory: torch.save into a path writes the path's name into the file.
    buffer = io.BytesIO()
    torch.save({"format": header["format"], "state_dict": tensors, **header}, buffer)
    return buffer.getvalue()


def _safetensors_bytes(tensors: dict[str, Tensor], header: dict[str, Any]) -> bytes:
    content: bytes = safetensors.torch.save(tensors, metadata={_METADATA_KEY: json.dumps(header)})
    return content


def _safetensors_header(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    if _METADATA_KEY not in metadata:
        return {}
    try:
        header = json.loads(metadata[_METADATA_KEY])
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} holds damaged metadata; copy or download it again") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} holds damaged metadata; copy or download it again")
    return header


def _check_header(path: Path, header: dict[str, Any]) -> None:
    check_plain(path, header)
    found = header.get("format")
    if found != FORMAT:
        raise CheckpointError(f"{path} is of format {show(found)}, wanted {FORMAT}; upgrade landscape to read it")
    for key in ("model", "data"):
        spec = header.get(key)
        if isinstance(spec, str) and not (0 < len(spec) <= 1000 and spec.isprintable()):
            raise CheckpointError(f"{path} holds text that is no spec as its {key}; copy or download it again")
    for key, kind in (("model", str | None), ("data", str | None), ("training", dict), ("versions", dict)):
        if key in header and not isinstance(header[key], kind):
            got = type(header[key]).__name__
            raise CheckpointError(f"{path} holds {got} as its {key}, which is damage; copy or download it again")


def _foreign_weights(path: Path, loaded: Any) -> dict[str, Tensor]:
    """Find other people's state dict, bare or under a usual name, and take wrappers' prefixes off its keys."""
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds {show(type(loaded).__name__)}, wanted tensors by name; save model.state_dict()"
        )
    wrapped = [key for key in _WRAPPERS if isinstance(loaded.get(key), dict)]
    if len(wrapped) > 1:
        raise CheckpointError(f"{path} holds several nets ({', '.join(wrapped)}); save the one that you mean alone")
    weights = loaded[wrapped[0]] if wrapped else loaded
    if not any(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} holds no weights; save them with torch.save(model.state_dict(), FILE)")
    tensors = check_tensors(path, weights)
    # Only at the start, and only where every key has it: "x.module.w" is a layer's own name.
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
