"""`landscape connect`: loss and error along a curve between two nets and along the line, and what barrier they meet."""

from __future__ import annotations

from dataclasses import replace

from .declare import COMMON, Array, Attribute, Kind, optional
from .surface import EVALUATED, FAILED, INTERPOLATED, NOT_FINITE, SKIPPED, TODO

CURVES = ("bezier", "polychain", "line")
_ALONG, _RADII, _ENDS = ("eps", "t"), ("eps",), ("eps", "end")
_CODES = {
    TODO: "to do",
    EVALUATED: "evaluated",
    NOT_FINITE: "not finite",
    SKIPPED: "skipped: clean loss beyond the cap",
    INTERPOLATED: "interpolated",
    FAILED: "failed",
}


def _path(prefix: str, path: str) -> dict[str, Array]:
    """Return the arrays of one path between the nets, their names begun with `prefix`."""
    return {
        f"{prefix}loss": Array(_ALONG, "float64", "nats", f"mean loss on {path}, the worst image found"),
        f"{prefix}loss_se": Array(_ALONG, "float64", "nats", "its standard error over examples"),
        f"{prefix}error_rate": Array(_ALONG, "float64", "1", f"fraction of examples wrong on {path}"),
        f"{prefix}barrier": Array(
            _RADII, "float64", "nats", f"highest L(t) - (1 - t) L(0) - t L(1) on {path}, t chosen on other examples"
        ),
        f"{prefix}barrier_low": Array(_RADII, "float64", "nats", "lower end of its 95 % interval over examples"),
        f"{prefix}barrier_high": Array(_RADII, "float64", "nats", "upper end of its 95 % interval over examples"),
        f"{prefix}barrier_over_ends": Array(
            _RADII, "float64", "nats", f"highest L(t) less the higher of L(0) and L(1) on {path}"
        ),
        f"{prefix}barrier_t": optional(("eps", "half"), "1", "t of the highest rise above the chord in each half"),
        f"{prefix}status": Array(_ALONG, "uint8", "code", "what the values are", required=False, codes=_CODES),
        f"{prefix}example_loss": Array(
            (*_ALONG, "n"), "float32", "nats", f"loss of each example on {path}", required=False
        ),
    }


def _measured() -> dict[str, Array]:
    """Return the arrays that one split of the data gives: both paths, and the nets as they are deployed."""
    return {
        **_path("", "the curve"),
        **_path("line_", "the line"),
        "deployed_loss": Array(_ENDS, "float64", "nats", "mean loss of each net with its own BatchNorm buffers"),
        "deployed_loss_se": optional(_ENDS, "nats", "its standard error over examples"),
        "deployed_error_rate": Array(
            _ENDS, "float64", "1", "fraction of examples wrong of each net with its own BatchNorm buffers"
        ),
    }


def _other(split: str) -> dict[str, Array]:
    """Return the same arrays on another split, all of which a file may lack."""
    return {
        f"{split}/{name}": replace(array, required=False)
        for name, array in _measured().items()
        if "n" not in array.dims  # other examples, and large: what they are for is done when the file is written
    }


CONNECT = Kind(
    title="loss and error along a curve and the line between two nets",
    arrays={
        "t": Array(("t",), "float64", "1", "position on the curve and on the line: 0 is the first net, 1 the second"),
        "eps": Array(("eps",), "float64", "pixel units", "radius of the attack, in growing order"),
        **_measured(),
        "gradient_norm": optional(("t",), "1", "norm of the gradient on the curve at `curvature_eps`, adversary held"),
        "lambda_1": optional(("t",), "nats", "largest Hessian eigenvalue on the curve at `curvature_eps`"),
        "lambda_1_residual": optional(("t",), "nats", "||Hv - lambda v||: an eigenvalue lies within it"),
        "plane_points": optional(
            ("point", "axis"), "1", "control points, ends included, on the plane through both ends and the middle one"
        ),
        "example_index": Array(("n",), "int64", "1", "index of each example in its split", required=False),
        **_other("train"),
        **_other("test"),
    },
    attributes={
        **COMMON,
        "curve": Attribute("text", "form of the curve", choices=CURVES),
        "interior_points": Attribute("integer", "control points between the nets; 0 for the line"),
        "epochs": Attribute("integer", "epochs that the control points were trained for"),
        "steps": Attribute("integer", "updates in this training"),
        "curve_length": Attribute("number", "Euclidean length of the curve in weight space"),
        "line_length": Attribute("number", "Euclidean distance of the nets"),
        "control_points": Attribute("text", "file of the control points", optional=True),
        "control_points_sha256": Attribute("text", "SHA-256 of this file", optional=True),
        "curve_training": Attribute("json", "how the control points were trained", required=False),
        "curvature_eps": Attribute("number", "radius of gradient_norm and lambda_1, pixel units", required=False),
        "adaptive": Attribute("flag", "whether points were added where the curve turns", required=False),
        "recalibration_examples": Attribute("integer", "examples behind the BatchNorm statistics", required=False),
        "other_examples": Attribute("integer", "examples of the other split, beside n_examples", required=False),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "collapsed": Attribute("flag", "whether a net is a constant classifier", required=False, optional=True),
        "failure": Attribute("text", "what the first failed point said", required=False),
    },
)
