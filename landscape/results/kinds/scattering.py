"""`landscape scattering`: how perturbations and gradients turn as the weights move, beside what chance gives."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

DIRECTIONS = ("random", "top1", "to", "given")
POSITIONS = {"radius": "distance over ||w||", "rise": "rise of the loss (nats)", "share": "share of the way"}
_R, _N, _M = ("radius",), ("radius", "n"), ("radius", "m")

COSINES = {
    "perturbation_cosine": "cosine of the perturbations at the net and here, from one random start",
    "sign_cosine": "cosine of the signs of these perturbations",
    "box_cosine": "cosine of these perturbations centred and scaled by the feasible box (l-inf; else NaN)",
    "zero_start_cosine": "cosine of the perturbations at the net and here, both attacks begun at the clean image",
    "zero_start_sign_cosine": "cosine of the signs of those",
    "zero_start_box_cosine": "cosine of those centred and scaled by the feasible box",
}
BASELINES = {
    "random": "two random vertices of the feasible box (l2: points of the sphere, cut to [0, 1])",
    "restart": "two random starts of the attack at the net",
    "zero": "a random start and the clean image as the start, at the net",
}
_KINDS = {"cosine": "cosine", "sign_cosine": "sign-cosine", "box_cosine": "centred and scaled cosine"}
_TURNS = {
    "gradient_cosine": ("1", "cosine of the gradients in the weights at the net and here"),
    "gradient_cosine_frozen": ("1", "cosine of the gradients at the net and here, the adversary held at the net's"),
    "gradient_norm": ("1", "norm of the gradient here"),
    "gradient_difference": ("1", "norm of the gradient's change from the net to here"),
    "gradient_difference_frozen": ("1", "norm of its part with the adversary frozen, the weights moved first"),
    "gradient_difference_adversary": ("1", "norm of its part due to the adversary's move, made at the weights here"),
    "gradient_difference_inner": ("1", "inner product of these two parts"),
    "adversary_first_frozen": ("1", "norm of the part of the weights, the adversary moved before"),
    "adversary_first_adversary": ("1", "norm of the part due to the adversary's move, made at the net's weights"),
    "adversary_first_inner": ("1", "inner product of these two parts"),
    "adversary_share": ("1", "share of the change along itself that the adversary's move makes, mean of both orders"),
}


def _with_error(name: str, dims: tuple[str, ...], units: str, meaning: str) -> dict[str, Array]:
    return {
        name: Array(dims, "float64", units, meaning),
        f"{name}_se": Array(dims, "float64", units, "its standard error over examples"),
    }


def _arrays() -> dict[str, Array]:
    found = {
        "radius": Array(
            _R, "float64", "1", "distance from the net over the length of its weights, ||w - w0|| / ||w0||"
        ),
        "position": Array(_R, "float64", "see positions", "what was asked for: this distance, a rise, or a share"),
        **_with_error("loss", _R, "nats", "mean loss here, attacked here"),
        "loss_frozen": Array(_R, "float64", "nats", "mean loss here at the images attacked at the net"),
        "undefined": Array(_R, "float64", "1", "fraction of examples with a perturbation of 0, which has no cosine"),
        "zero_start_undefined": Array(_R, "float64", "1", "the same of the zero start"),
        **_with_error("perturbation_distance", _R, "pixel units", "distance of the perturbations in the ball's norm"),
    }
    for name, meaning in COSINES.items():
        found |= _with_error(name, _R, "1", f"mean {meaning}")
    for name, meaning in BASELINES.items():
        for kind, word in _KINDS.items():
            found |= _with_error(f"{name}_{kind}", (), "1", f"mean {word} of {meaning}")
    for name, (units, meaning) in _TURNS.items():
        found |= _with_error(name, _R, units, meaning)
    found["example_index"] = optional(("n",), "1", "index of each example in its split", dtype="int64")
    found |= {f"examples/{name}": optional(_N, "1", meaning, dtype="float32") for name, meaning in COSINES.items()}
    found["single_index"] = optional(("m",), "1", "index in its split of each example taken singly", dtype="int64")
    found |= {
        f"single/{name}": optional(_M, units, f"of single examples: {meaning}")
        for name, (units, meaning) in _TURNS.items()
    }
    found["direction"] = optional(("P",), "1", "the direction, of length 1", dtype="float32")
    return found


SCATTERING = Kind(
    title="how perturbations and gradients turn as the weights move",
    arrays=_arrays(),
    attributes={
        **COMMON,
        "eps": Attribute("number", "radius of the attack, pixel units"),
        "centre_loss": Attribute("number", "mean loss at the net, nats"),
        "centre_loss_se": Attribute("number", "its standard error over examples"),
        "centre_gradient_norm": Attribute("number", "norm of the gradient at the net"),
        "weight_norm": Attribute("number", "length ||w|| of the trainable weights"),
        "along": Attribute("text", "what kind of direction the weights move along", choices=DIRECTIONS),
        "direction_name": Attribute("text", "this direction in words"),
        "positions": Attribute("text", "what `position` counts", choices=tuple(POSITIONS)),
        "groups": Attribute("integer", "groups of examples behind the standard errors of gradients"),
        "to": Attribute("text", "the checkpoint that the way leads to", required=False, optional=True),
        "to_sha256": Attribute("text", "SHA-256 of it", required=False, optional=True),
        "to_training": Attribute("json", "how its net was trained", required=False, optional=True),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "collapsed": Attribute("flag", "whether the net is a constant classifier", required=False, optional=True),
    },
)
