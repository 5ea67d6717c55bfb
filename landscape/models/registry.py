"""The nets by name: a spec string builds each, and is written back with every setting resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import UsageError
from ..spec import Spec, load_callable, nearest, parse_spec
from ..streams import stream_key
from .activation import make_activation
from .lenet import LeNet
from .linear import LinearSoftmax
from .mlp import MLP
from .resnet import ResNet18
from .settings import Setting, read_count, read_flag, read_positive, read_shape, read_sizes, read_word, write_value
from .vgg import VGG16

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Architecture:
    """A net by name: its class, its own settings, and the image shape (C, H, W) that it was published for."""

    build: Callable[..., nn.Module]
    settings: dict[str, Setting]
    published_input: Shape | None = None


# A ReLU net says nothing of its activation: that is the published form, and the spec that most files hold.
_ACTIVATION = {
    "activation": Setting("relu", read_word, always=False),
    "beta": Setting(1.0, read_positive, always=False),
}

ARCHITECTURES: dict[str, Architecture] = {
    "lenet": Architecture(LeNet, {"width": Setting(16, read_count), **_ACTIVATION}, LeNet.published_input),
    "resnet18": Architecture(ResNet18, {"width": Setting(8, read_count), **_ACTIVATION}, ResNet18.published_input),
    "vgg16": Architecture(VGG16, {"width": Setting(8, read_count), **_ACTIVATION}, VGG16.published_input),
    "linear": Architecture(LinearSoftmax, {"bias": Setting(True, read_flag)}),
    "mlp": Architecture(MLP, {"hidden": Setting((64, 64), read_sizes), **_ACTIVATION}),
}


def build_model(
    spec: str, *, input: Shape = (1, 8, 8), classes: int = 10, seed: int | None = None
) -> tuple[nn.Module, str]:
    """Build the net that a spec names, in train mode, for images (C, H, W); return it with its resolved spec.

    The spec's own `input` and `classes` win over the arguments; a callable takes neither. With a `seed` the weights are
    a function of it alone and the global generator stays as it was; without one they come from the global generator.
    Raises UsageError for an unknown name or setting, and for a callable that gives no nn.Module.
    """
    parsed = parse_spec(spec)
    construct, resolved = _plan(parsed, input, classes)
    if seed is None:
        return construct(), resolved
    with torch.random.fork_rng(devices=[]):
        # Nets are built on the CPU; torch.manual_seed would move the generators of other devices too.
        torch.default_generator.manual_seed(stream_key(seed, "init") & (2**63 - 1))
        return construct(), resolved


def model_shape(resolved: str) -> tuple[Shape, int] | None:
    """Return the image shape (C, H, W) and the number of classes that a resolved spec states, None for a callable."""
    settings = parse_spec(resolved).settings
    if "input" not in settings or "classes" not in settings:
        return None
    return read_shape("input", settings["input"]), read_count("classes", settings["classes"])


def _plan(spec: Spec, input: Shape, classes: int) -> tuple[Callable[[], nn.Module], str]:
    if spec.head in ARCHITECTURES:
        if spec.callable is not None:
            known = ", ".join(f"{key}=..." for key in _settings_of(spec.head))
            raise UsageError(f"{spec.callable!r} in {spec} is no setting; write {spec.head}:key=value, of {known}")
        return _plan_named(spec, input, classes)
    if spec.callable is not None:
        return lambda: _call(spec), str(spec)
    if spec.head.endswith(".py"):
        raise UsageError(f"{spec} names no callable that builds the net; write {spec.head}:callable")
    raise UsageError(f"{spec.head!r} is no net; {nearest(spec.head, ARCHITECTURES)} (or give file.py:callable)")


def _settings_of(name: str) -> dict[str, Setting]:
    common = {"input": Setting((1, 8, 8), read_shape), "classes": Setting(10, read_count)}
    return {**ARCHITECTURES[name].settings, **common}


def _plan_named(spec: Spec, input: Shape, classes: int) -> tuple[Callable[[], nn.Module], str]:
    known = _settings_of(spec.head)
    for key in spec.settings:
        if key not in known:
            raise UsageError(f"{key!r} is no setting of {spec.head}; {nearest(key, known)}")
    given = {"input": write_value(tuple(input)), "classes": write_value(classes), **spec.settings}
    values: dict[str, Any] = {
        key: setting.read(key, given[key]) if key in given else setting.default for key, setting in known.items()
    }
    resolved = Spec(
        spec.head,
        {key: write_value(values[key]) for key in known if known[key].always or values[key] != known[key].default},
    )
    arguments = dict(values)
    if "activation" in arguments:
        arguments["activation"] = make_activation(arguments["activation"], arguments.pop("beta"))
    return lambda: ARCHITECTURES[spec.head].build(**arguments), str(resolved)


def _call(spec: Spec) -> nn.Module:
    function = load_callable(spec)
    try:
        model = function()
    except Exception as error:  # the user's code may fail in any way; what matters to them is where and why
        said = " ".join(str(error).split())
        raise UsageError(f"{spec} failed when called without arguments: {type(error).__name__}: {said}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{spec} gave {type(model).__name__}, wanted a torch.nn.Module; return the net from it")
    if lazy := [name for name, value in model.named_parameters() if is_lazy(value)]:
        raise UsageError(
            f"{spec} gave a net whose {lazy[0]} has no shape yet; call it once on an image before it returns"
        )
    return model.train()
