"""Checkpoints: a trained net with all that rebuilds it, saved whole and byte for byte the same; others' read safely."""

from __future__ import annotations

import hashlib
import io
import json
import logging
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
from .fitting import check_fit, dtype_of, keeps_types, naming_for
from .foreign import Normalisation, find_weights
from .models import ARCHITECTURES, build_model, model_shape, normalisation_of, normalise_inside
from .published import check_name, claims_of, in_words, infer_architecture
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

_log = logging.getLogger(__name__)

FORMAT = "landscape-checkpoint/1"
_METADATA_KEY = "landscape"  # a single key: safetensors writes several in random order, and bytes would differ


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint as read: tensors by name on the CPU (float32 or float64, finite), and how they came about.

    `model` and `data` are specs, and `training` the settings; of other people's weights they are what shapes and a
    published name tell, else None and empty. `points` (m, P) are the interior control points of a curve, where the net
    is one of them. `namings` are the tensors under the names that wrappers gave them, `normalisation` what the net is
    to do to images in [0, 1] first, `input` the image shape (C, H, W) that was inferred, `notes` what was chosen,
    `guess` how `model` was inferred, and `key` which of several nets was asked for.
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
    namings: tuple[dict[str, Tensor], ...] = ()
    normalisation: Normalisation | None = None
    input: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()
    guess: str = ""
    key: str | None = None

    def told(self, model: str | None) -> str:
        """Return what was chosen for the user, who named `model` or nothing; an empty text where nothing was."""
        return "; ".join([*self.notes, *([self.guess] if self.guess and model is None else [])])


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
    inside = normalisation_of(model)
    if inside is not None:
        header["normalisation"] = [part.flatten().tolist() for part in inside]
    content = _safetensors_bytes(tensors, header) if _is_safetensors(path) else _torch_bytes(tensors, header | kept)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
    return path


def read_checkpoint(source: str | Path, *, key: str | None = None) -> Checkpoint:
    """Read a checkpoint (path, or shipped name such as digits/eps0.1) without running anything that is in it.

    Takes our own .pt and .safetensors, and other people's state dicts wherever they lie in the file; `key` says which
    of several ("state_dict_ema"). Raises CheckpointError, in one sentence, for a file that is missing, damaged, unsafe,
    or holds weights that are not finite; UsageError for a key that names none.
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
        return _foreign(path, name, sha256, loaded, key)
    if not header:
        return _foreign(path, name, sha256, weights, key)
    if key is not None:
        raise UsageError(f"{path} is a checkpoint of landscape's own and holds one net; leave --key {key} out")
    _check_header(path, header)
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path} holds no state dict under 'state_dict'; copy or download it again")
    known = {key: header[key] for key in ("model", "data", "training", "versions") if key in header}
    if points is not None:
        points = check_tensors(path, {"points": points})["points"]
    inside = _normalisation(path, header.get("normalisation"))
    return Checkpoint(check_tensors(path, weights), path, name, sha256, **known, points=points, normalisation=inside)


def _foreign(path: Path, name: str, sha256: str, loaded: Any, key: str | None) -> Checkpoint:
    """Return other people's weights with what can be told of them."""
    found = find_weights(path, loaded, key=key)
    weights, notes = found.state_dict, list(found.notes)
    inferred = infer_architecture(weights)
    if inferred is not None and inferred[1]:
        weights = {inferred[1].get(old, old): value for old, value in weights.items()}
    training, data = claims_of(path)
    if inferred is not None:
        check_name(path, inferred[0])
    if training:
        notes.append(f"{in_words(training)}, trained on {data}, by the file's name")
    return Checkpoint(
        weights,
        path,
        name,
        sha256,
        model=None if inferred is None else inferred[0].spec,
        data=data,
        training=training,
        namings=(*found.namings, weights),
        normalisation=found.normalisation,
        input=None if inferred is None else inferred[0].input,
        notes=tuple(notes),
        guess="" if inferred is None else f"{inferred[0].words} by its names and shapes",
        key=key,
    )


def _normalisation(path: Path, told: Any) -> Normalisation | None:
    """Return the normalisation that a checkpoint of our own tells of, as [mean, std] by channel."""
    if told is None:
        return None
    try:
        mean, std = (torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 1) for part in told)
        if mean.shape == std.shape and len(mean) in (1, 3) and bool(((std > 0) & mean.isfinite()).all()):
            return Normalisation(mean, std)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise CheckpointError(f"{path} holds a normalisation that is none; copy or download it again")


def load_model(
    source: str | Path | Checkpoint,
    *,
    model: str | None = None,
    key: str | None = None,
    input: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> nn.Module:
    """Rebuild the net of a checkpoint with its weights, in eval mode on the CPU; see `read_checkpoint`, `rebuild`."""
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source, key=key)
    if notes := checkpoint.told(model):
        _log.info("%s: %s", checkpoint.path, notes)
    return rebuild(checkpoint, model=model, input=input, classes=classes)[0]


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
    weights, wrapped = naming_for(net, checkpoint.namings) or (checkpoint.state_dict, False)
    check_fit(checkpoint.path, weights, net, resolved)
    if not keeps_types(net):
        wide = any(value.dtype == torch.float64 for value in weights.values())
        net.to(torch.float64 if wide else torch.float32)
    if named:
        net.to_empty(device="cpu")
    try:
        net.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{checkpoint.path} does not load into {resolved}: {' '.join(str(error).split())}"
        ) from error
    own = checkpoint.normalisation
    # A net that was wrapped, or has these very numbers, normalises by itself.
    if own is not None and not wrapped and not any(value is own.source for value in weights.values()):
        net = normalise_inside(net, own.mean.to(dtype_of(net)), own.std.to(dtype_of(net)))
    return net.eval(), resolved


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
    if checkpoint.input is not None and parse_spec(spec).head == parse_spec(checkpoint.model or "").head:
        return {"input": checkpoint.input}
    architecture = ARCHITECTURES.get(parse_spec(spec).head)
    published = architecture.published_input if architecture is not None else None
    return {"input": published} if published is not None else {}


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
