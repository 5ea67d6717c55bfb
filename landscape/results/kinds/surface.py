"""`landscape surface`: loss and error on a line or a plane in weight space, for each radius of a ladder."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

_GRID = ("eps", "y", "x")
TODO, EVALUATED, NOT_FINITE, SKIPPED, INTERPOLATED, FAILED = range(6)  # the codes of `status`

SURFACE = Kind(
    title="loss and error of a net on a line or a plane in weight space",
    arrays={
        "x": Array(("x",), "float64", "as `units` says", "coordinate along the first direction"),
        "y": Array(("y",), "float64", "as `units` says", "coordinate along the second direction; 0 alone on a line"),
        "eps": Array(("eps",), "float64", "pixel units", "radius of the attack, in growing order"),
        "loss": Array(_GRID, "float64", "nats", "mean loss; under attack that of the worst image found: a lower bound"),
        "loss_se": Array(_GRID, "float64", "nats", "standard error of the loss over examples"),
        "error_rate": Array(_GRID, "float64", "1", "fraction of examples that any image tried makes wrong"),
        "attack_gap": Array(_GRID, "float64", "nats", "what stronger attacks add to the loss; NaN where not audited"),
        "attack_gap_se": Array(_GRID, "float64", "nats", "standard error of the gap over the audited examples"),
        "zero_gradient": Array(_GRID, "float64", "1", "fraction of examples with no gradient where the attack starts"),
        "status": Array(
            _GRID,
            "uint8",
            "code",
            "what the value is",
            codes={
                TODO: "to do",
                EVALUATED: "evaluated",
                NOT_FINITE: "not finite",
                SKIPPED: "skipped: clean loss beyond the cap",
                INTERPOLATED: "interpolated",
                FAILED: "failed",
            },
        ),
        "directions": Array(
            ("direction", "P"), "float32", "1", "the directions as they are walked; on a line the second is NaN"
        ),
        "gram": Array(("direction", "other"), "float64", "1", "inner products of the directions"),
        "centre_loss": Array(("eps",), "float64", "nats", "mean loss at the origin"),
        "centre_loss_se": Array(("eps",), "float64", "nats", "its standard error over examples"),
        "centre_error_rate": Array(("eps",), "float64", "1", "fraction of examples wrong at the origin"),
        "slope": Array(("eps", "direction"), "float64", "nats per unit", "g'd at the origin, the adversary held there"),
        "curvature": Array(
            ("eps", "direction", "other"), "float64", "nats per unit^2", "d'Hd at the origin, the adversary held there"
        ),
        "landmarks/x": optional(("landmark",), "as `units` says", "projection of a checkpoint on the plane"),
        "landmarks/y": optional(("landmark",), "as `units` says", "projection of a checkpoint on the plane"),
        "landmarks/off_plane": optional(("landmark",), "1", "distance of the checkpoint from the plane"),
        "landmarks/loss": optional(("eps", "landmark"), "nats", "loss of the checkpoint itself, wherever it lies"),
        "example_loss": Array((*_GRID, "n"), "float32", "nats", "loss of each example", required=False),
        "example_index": Array(("n",), "int64", "1", "index of each example in its split", required=False),
    },
    attributes={
        **COMMON,
        "units": Attribute("text", "unit of the axes", choices=("Euclidean length", "filter norm", "direction")),
        "direction_names": Attribute("texts", "what the directions are, one or two"),
        "range_rule": Attribute("text", "how the range was chosen"),
        "cap": Attribute("number", "clean loss beyond which no attack was run; NaN for none", required=False),
        "adaptive": Attribute("flag", "whether some values are interpolated"),
        "grid_tol": Attribute("number", "error of interpolation asked for, of the local loss", required=False),
        "interpolation_error": Attribute("number", "largest one at the points held out last", required=False),
        "audit_attack": Attribute("text", "the stronger attacks", required=False, optional=True),
        "audit_examples": Attribute("integer", "examples of the audit", required=False),
        "explained_variance": Attribute("json", "share of the trajectory's variance on each axis", required=False),
        "landmarks": Attribute("texts", "names of the checkpoints marked", required=False),
        "landmarks_joined": Attribute("flag", "whether they are one run, in its order", required=False),
        "recalibration_examples": Attribute("integer", "examples behind the BatchNorm statistics", required=False),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "collapsed": Attribute("flag", "whether the net is a constant classifier", required=False, optional=True),
        "failure": Attribute("text", "what the first failed point said", required=False),
    },
)
