"""How a kind of result is declared: its arrays, its root attributes, and those that every kind has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEXT = "text"  # the dtype of names: texts of any length


@dataclass(frozen=True)
class Array:
    """One array of a kind: its dimensions by name, its dtype in the file (or TEXT), its units and what it means.

    A name "group/array" lies in an HDF5 group. A dimension that is called like an array has its values there.
    """

    dims: tuple[str, ...]
    dtype: str
    units: str
    meaning: str
    required: bool = True
    codes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribute:
    """One root attribute: its type ("text", "texts", "integer", "number", "flag" or "json") and what it means.

    "texts" is a text or a list of them. A number that was not computed is NaN; of the others only `optional` ones may
    be None ("unknown"). `required` says that the attribute must be there at all.
    """

    type: str
    meaning: str
    required: bool = True
    optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of result: what it is, its arrays and its root attributes (those of every kind included).

    `bare` names the dimensions that are counted but carry no coordinate, such as P, the parameters of a net.
    """

    title: str
    arrays: Mapping[str, Array]
    attributes: Mapping[str, Attribute]
    bare: tuple[str, ...] = ("P",)


COMMON: dict[str, Attribute] = {
    "status": Attribute("text", "how far it got", choices=("complete", "partial", "not-converged")),
    "command": Attribute("text", "the command that made it"),
    "created": Attribute("text", "when, in UTC (ISO 8601)"),
    "landscape_version": Attribute("text", "version of Landscape"),
    "torch_version": Attribute("text", "version of PyTorch", optional=True),
    "device": Attribute("text", "what it was computed on", optional=True),
    "seed": Attribute("integer", "seed of every stream of randomness", optional=True),
    "checkpoint": Attribute("texts", "the net's checkpoint", optional=True),
    "checkpoint_file": Attribute("texts", "its file, as it was typed", required=False),
    "checkpoint_sha256": Attribute("texts", "SHA-256 of the checkpoint", optional=True),
    "training": Attribute("json", "how the net was trained", optional=True),
    "data_sha256": Attribute("text", "SHA-256 of images and labels", optional=True),
    "model": Attribute("texts", "resolved spec of the net", optional=True),
    "data": Attribute("text", "resolved spec of the data", optional=True),
    "split": Attribute("text", "train or test", optional=True),
    "n_examples": Attribute("integer", "examples that every mean is over"),
    "n_parameters": Attribute("integer", "trainable parameters, P"),
    "norm": Attribute("text", "norm of the ball", optional=True),
    "train_eps": Attribute("number", "radius that the net was trained at, pixel units"),
    "attack": Attribute("text", "attack that found the adversarial examples", optional=True),
    "adversary": Attribute("text", "what it does as the weights move", choices=("frozen", "reattacked", "none")),
    "batchnorm": Attribute("text", "which BatchNorm statistics were used", optional=True),
    "wall_seconds": Attribute("number", "seconds it took"),
    "settings": Attribute("json", "all that decides the numbers: what a repeated command compares", required=False),
}


def optional(dims: tuple[str, ...], units: str, meaning: str, *, dtype: str = "float64") -> Array:
    """Return an array that a file may lack."""
    return Array(dims, dtype, units, meaning, required=False)
