"""The kinds of result as data: which arrays a file holds, over which dimensions, in which units, and who must say what.

A new kind is one more entry of `KINDS`; store, plots and `landscape info` read it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ResultError
from ..spec import nearest
from .values import Value, plain

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Array:
    """One array of a kind: its dimensions by name, its dtype in the file, its units and what it means.

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

_GRID, _NODES = ("density/grid",), ("density/nodes",)

HESSIAN = Kind(
    title="top eigenpairs of the Hessian of the mean loss",
    arrays={
        "eigenvalues": Array(("k",), "float64", "nats", "eigenvalue of the Hessian, in the order asked for"),
        "residuals": Array(("k",), "float64", "nats", "||Hv - lambda v||: an eigenvalue lies within it"),
        "eigenvalue_se": Array(("k",), "float64", "nats", "standard error of the eigenvalue over examples"),
        "gauss_newton": Array(("k",), "float64", "nats", "v'Gv: the Gauss-Newton part of the eigenvalue"),
        "gradient_projection": Array(("k",), "float64", "nats", "g'v: the loss's slope along the eigenvector"),
        "pair_status": Array(
            ("k",),
            "uint8",
            "code",
            "whether the pair reached the tolerance",
            codes={0: "not converged", 1: "converged", 2: "at precision limit"},
        ),
        "eigenvectors": Array(("m", "P"), "float32", "1", "unit eigenvectors of the first m pairs"),
        "density/grid": Array(_GRID, "float64", "nats", "where the spectral density is given", required=False),
        "density/values": Array(
            _GRID,
            "float64",
            "1/nats",
            "spectral density, smoothed by a Gaussian kernel",
            required=False,
        ),
        "density/nodes": Array(_NODES, "float64", "nats", "nodes of the quadrature behind the density", required=False),
        "density/weights": Array(_NODES, "float64", "1", "share of the spectrum at each node", required=False),
    },
    attributes={
        **COMMON,
        "eps": Attribute("number", "radius of the attack, pixel units of [0, 1]"),
        "params": Attribute("text", "names of the parameters that the block is of; the rest are held", required=False),
        "weight_decay": Attribute("number", "L2 term of the loss, as an optimiser's", required=False),
        "penalty": Attribute("number", "what the weight decay adds to the loss, nats", required=False),
        "loss": Attribute("number", "mean loss at the weights, nats"),
        "gradient_norm": Attribute("number", "norm of the gradient at the weights"),
        "hvps": Attribute("integer", "Hessian products spent"),
        "method": Attribute("text", "the solver"),
        "which": Attribute("text", "which end of the spectrum, as in SciPy", choices=("la", "lm", "sa")),
        "tol": Attribute("number", "residual asked for, relative to the pair's own |lambda|"),
        "guard_passed": Attribute("flag", "whether the search for skipped pairs found none", optional=True),
        "orthogonality": Attribute("number", "largest |v_i'v_j| of two eigenvectors"),
        "loss_se": Attribute("number", "standard error of the loss over examples", required=False),
        "error_rate": Attribute("number", "fraction of the attacked examples that are wrong", required=False),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "collapsed": Attribute("flag", "whether the net is a constant classifier", required=False, optional=True),
        "trace": Attribute("number", "trace of the Hessian, estimated", required=False),
        "trace_low": Attribute("number", "lower end of its 95 % interval over probes", required=False),
        "trace_high": Attribute("number", "upper end of its 95 % interval over probes", required=False),
        "frobenius": Attribute("number", "Frobenius norm of the Hessian, estimated", required=False),
        "frobenius_low": Attribute("number", "lower end of its 95 % interval over probes", required=False),
        "frobenius_high": Attribute("number", "upper end of its 95 % interval over probes", required=False),
        "density_kernel_width": Attribute("number", "standard deviation of the density's kernel, nats", required=False),
        "density_probes": Attribute("integer", "random starts of the quadrature", required=False),
        "density_steps": Attribute("integer", "products for each probe", required=False),
        "density_deflated": Attribute("integer", "eigenpairs that the density holds exactly", required=False),
        "density_hvps": Attribute("integer", "Hessian products spent on the density", required=False),
    },
)

THEORY = Kind(
    title="regimes and adversarial optima of the two-class linear model",
    arrays={
        "eps": Array(("eps",), "float64", "pixel units", "radius of the l-inf ball"),
        "regime": Array(
            ("eps",),
            "uint8",
            "code",
            "what adversarial training comes to",
            codes={0: "separable", 1: "finite", 2: "constant"},
        ),
        "loss": Array(("eps",), "float64", "nats", "infimum of L_eps over weights and biases"),
        "weight_norm": Array(("eps",), "float64", "1", "||u||_1 where it is attained, u = w_2 - w_1; else infinite"),
        "margin": Array(("eps",), "float64", "pixel units", "worst margin under attack over ||u||_1"),
        "error_rate": Array(("eps",), "float64", "1", "fraction wrong under attack"),
        "clean_error_rate": Array(("eps",), "float64", "1", "fraction wrong without attack"),
        "kkt_residual": Array(("eps",), "float64", "nats", "violation of optimality, per unit of weight"),
    },
    attributes={
        **COMMON,
        "class_pair": Attribute("text", "the two classes, as labels of the data"),
        "class_counts": Attribute("json", "examples of each"),
        "box": Attribute("flag", "whether attacked images are clipped to [0, 1]"),
        "eps_bar": Attribute("number", "without biases, W = 0 is optimal from here on"),
        "eps_bar_bias": Attribute("number", "with biases, a constant classifier is optimal from here on"),
        "eps_bar_box": Attribute("number", "the same where attacked images are clipped to [0, 1]"),
        "gamma_star": Attribute("number", "up to here some linear classifier withstands every attack"),
        "gamma_star_bound": Attribute("number", "beyond here none does: the certificate of gamma_star"),
        "gamma_star_box": Attribute("number", "gamma_star where attacked images are clipped to [0, 1]"),
        "gamma_star_box_bound": Attribute("number", "its certificate"),
        "constant_loss": Attribute("number", "loss of the best constant classifier, nats: entropy of the classes"),
        "tol": Attribute("number", "KKT residual asked for"),
    },
)

_TESTED, _PROBED = ("test/step",), ("probe/step",)


def _optional(dims: tuple[str, ...], units: str, meaning: str) -> Array:
    return Array(dims, "float64", units, meaning, required=False)


# `landscape train` writes a row for each mini-batch, as it was met; `landscape traces` one for each checkpoint and
# radius, over fixed examples. `measured` says which.
TRACES = Kind(
    title="a training run along its steps: loss, gradient, distance from initialisation",
    arrays={
        "step": Array(("T",), "int64", "1", "updates of the weights before this row: 0 is the initialisation"),
        "epoch": Array(("T",), "float64", "epochs", "the same in passes over the training data"),
        "loss": Array(("T",), "float64", "nats", "mean loss of the attacked examples at these weights"),
        "error_rate": Array(("T",), "float64", "1", "fraction of the attacked examples that are wrong"),
        "gradient_norm": Array(("T",), "float64", "1", "norm of the gradient of that loss, before any clipping"),
        "gradient_norm_sq_unbiased": Array(
            ("T",), "float64", "1", "inner product of the gradients of two half-batches: estimates ||grad L_eps||^2"
        ),
        "distance_from_init": Array(("T",), "float64", "1", "||w_t - w_0|| of the trainable weights"),
        "learning_rate": Array(("T",), "float64", "1", "step size that the optimiser takes from here"),
        "eps": Array(("T",), "float64", "pixel units", "radius of the attack"),
        "loss_se": _optional(("T",), "nats", "standard error of the loss over examples"),
        "clean_loss": _optional(("T",), "nats", "mean loss of the same examples, not attacked"),
        "clean_gradient_norm": _optional(("T",), "1", "norm of the gradient of the clean loss"),
        "gradient_cosine": _optional(("T",), "1", "cosine of the clean and the adversarial gradient"),
        "layer_gradient_norm": _optional(
            ("T", "layer"), "1", "norm of the gradient of each layer, as `layers` names them"
        ),
        "lambda_1": _optional(("T",), "nats", "largest Hessian eigenvalue of the loss, the adversary frozen"),
        "test/step": Array(_TESTED, "int64", "1", "updates before this evaluation on test examples", required=False),
        "test/eps": _optional(_TESTED, "pixel units", "radius that the schedule had reached: the current eps"),
        "test/clean_loss": _optional(_TESTED, "nats", "mean loss, not attacked"),
        "test/clean_error_rate": _optional(_TESTED, "1", "fraction wrong, not attacked"),
        "test/robust_loss": _optional(_TESTED, "nats", "mean loss under attack at the current eps"),
        "test/robust_error_rate": _optional(_TESTED, "1", "fraction wrong under attack at the current eps"),
        "test/target_robust_loss": _optional(_TESTED, "nats", "mean loss under attack at the target, `train_eps`"),
        "test/target_robust_error_rate": _optional(
            _TESTED, "1", "fraction wrong under attack at the target, `train_eps`"
        ),
        "probe/step": Array(_PROBED, "int64", "1", "updates before this look of the guard", required=False),
        "probe/eps": _optional(_PROBED, "pixel units", "radius that the schedule had reached"),
        "probe/clean_loss": _optional(_PROBED, "nats", "mean loss of probed examples, not attacked"),
        "probe/clean_error_rate": _optional(_PROBED, "1", "fraction wrong, not attacked"),
        "probe/attack_error_rate": _optional(_PROBED, "1", "fraction wrong under the attack of training"),
        "probe/robust_error_rate": _optional(_PROBED, "1", "fraction wrong under the guard's stronger PGD"),
    },
    attributes={
        **COMMON,
        "measured": Attribute("text", "what a row is over", choices=("mini-batches", "checkpoints")),
        "layers": Attribute("texts", "names of the layers", required=False),
        "batch_size": Attribute("integer", "examples of a mini-batch", required=False),
        "steps_per_epoch": Attribute("integer", "updates in one pass over the training data", required=False),
        "trace_every": Attribute("integer", "a row for every so many mini-batches", required=False),
        "halves_every": Attribute("integer", "half-batch gradients at every so many rows", required=False),
        "test_every": Attribute("integer", "test rows at every so many steps", required=False),
        "test_examples": Attribute("integer", "test examples that a test row is over", required=False),
        "test_attack": Attribute("text", "attack of the test rows", required=False),
        "probe_examples": Attribute("integer", "examples that the guard looks at", required=False),
        "probe_attack": Attribute("text", "the guard's attack", required=False),
        "probe_split": Attribute("text", "where they come from", required=False, choices=("train", "holdout")),
        "events": Attribute("json", "what the guard saw: step, kind and words of each", required=False),
    },
)

KINDS: dict[str, Kind] = {"hessian": HESSIAN, "theory": THEORY, "traces": TRACES}


def find_kind(name: Any) -> Kind:
    """Return the kind called `name`; raise ResultError with the nearest names."""
    if not isinstance(name, str) or name not in KINDS:
        raise ResultError(f"{name!r} is no kind of result that this version knows; {nearest(str(name), KINDS)}")
    return KINDS[name]


def canonical_arrays(kind: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays in the kind's order and dtypes; raise ResultError naming the array, what came, what was wanted.

    Sizes are checked too: every dimension has one size, whichever arrays it appears in.
    """
    wanted = find_kind(kind).arrays
    for name in arrays:
        if name not in wanted:
            raise ResultError(f"{name!r} is no array of a {kind} result; {nearest(name, wanted)}")
    found: dict[str, np.ndarray] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name, spec in wanted.items():
        if name not in arrays:
            if spec.required:
                raise ResultError(f"a {kind} result lacks the array {name!r}; wanted {describe_array(spec)}")
            continue
        array = _with_dtype(name, arrays[name], spec)
        check_shape(name, array.shape, spec, sizes)
        for code in np.unique(array) if spec.codes else ():
            if int(code) not in spec.codes:
                known = ", ".join(f"{value} ({word})" for value, word in spec.codes.items())
                raise ResultError(f"{name} holds the code {code}; wanted {known}")
        found[name] = array
    for name in found:
        for dim in wanted[name].dims:
            if dim in wanted and dim not in found:
                raise ResultError(f"{name} has no {dim}, which says where its values lie; give both")
    return found


def canonical_attributes(kind: str, attrs: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes as plain values, the kind's own first; raise ResultError where one is of a wrong type.

    Missing ones are let pass (see `check_complete`), and so are attributes that the kind does not name.
    """
    wanted = find_kind(kind).attributes
    found: dict[str, Value] = {}
    for name in sorted(attrs, key=lambda key: (list(wanted).index(key) if key in wanted else len(wanted), key)):
        spec = wanted.get(name, Attribute("any", "", optional=True))
        value = plain(name, attrs[name], spec.type)
        if value is None and not spec.optional:
            raise ResultError(f"attribute {name!r} is None; wanted {spec.type}: {spec.meaning}")
        if spec.choices and value not in spec.choices:
            raise ResultError(f"attribute {name!r} = {value!r}; wanted one of {', '.join(spec.choices)}")
        found[name] = value
    return found


def check_complete(kind: str, attrs: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ResultError, naming them, where required attributes are missing or contradict the arrays."""
    spec = find_kind(kind)
    missing = [name for name, attribute in spec.attributes.items() if attribute.required and name not in attrs]
    if missing:
        raise ResultError(f"a {kind} result lacks the attributes {', '.join(missing)}; a file has to explain itself")
    for name, array in arrays.items():
        dims = spec.arrays[name].dims
        if "P" in dims and array.shape[dims.index("P")] != attrs["n_parameters"]:
            raise ResultError(
                f"{name} spans P = {array.shape[dims.index('P')]} parameters; n_parameters says {attrs['n_parameters']}"
            )


def check_shape(name: str, shape: tuple[int, ...], spec: Array, sizes: dict[str, tuple[int, str]]) -> None:
    """Raise ResultError unless `shape` fits the dimensions; `sizes` maps each to (size, array that set it)."""
    if len(shape) != len(spec.dims):
        raise ResultError(f"{name} has shape {shape}; wanted ({', '.join(spec.dims)})")
    for dim, size in zip(spec.dims, shape, strict=True):
        known, setter = sizes.setdefault(dim, (size, name))
        if size != known:
            raise ResultError(f"{name} has {dim} = {size}; wanted {dim} = {known}, as in {setter}")


def describe_array(spec: Array) -> str:
    """Say what an array is: dtype, dimensions and meaning."""
    return f"{spec.dtype} ({', '.join(spec.dims)}), {spec.meaning}"


def _with_dtype(name: str, value: Any, spec: Array) -> np.ndarray:
    array = np.asarray(value)
    wanted = np.dtype(spec.dtype)
    if array.dtype.kind not in "biuf" or (wanted.kind in "iu" and array.dtype.kind == "f"):
        raise ResultError(f"{name} is of dtype {array.dtype}; wanted {spec.dtype}")
    # A copy: a result that shares memory with the solver's buffers would change under its owner.
    cast = array.astype(wanted, order="C")
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise ResultError(f"{name} holds values outside {spec.dtype}")
    return cast
