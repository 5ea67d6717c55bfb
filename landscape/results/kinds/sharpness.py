"""`landscape sharpness`: curvature and relative flatness of one net, for each radius of a ladder."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

_E, _RANDOM, _WORST = ("eps",), ("eps", "random_radius"), ("eps", "worst_radius")

SHARPNESS = Kind(
    title="how sharp a net is: curvature, and the rise of the loss at relative distances",
    arrays={
        "eps": Array(_E, "float64", "pixel units", "radius of the attack, in growing order"),
        "loss": Array(_E, "float64", "nats", "mean loss of the attacked examples at the weights"),
        "loss_se": Array(_E, "float64", "nats", "its standard error over examples"),
        "error_rate": Array(_E, "float64", "1", "fraction of the attacked examples that are wrong"),
        "gradient_norm": Array(_E, "float64", "1", "norm of the gradient at the weights"),
        "lambda_1": Array(_E, "float64", "nats", "largest Hessian eigenvalue, the adversary frozen"),
        "lambda_1_residual": Array(_E, "float64", "nats", "||Hv - lambda v||: an eigenvalue lies within it"),
        "lambda_1_se": Array(_E, "float64", "nats", "standard error of lambda_1 over examples, v held"),
        "gauss_newton": Array(_E, "float64", "nats", "v'Gv: the Gauss-Newton part of lambda_1"),
        "pair_status": Array(
            _E,
            "uint8",
            "code",
            "whether the pair reached the tolerance",
            codes={0: "not converged", 1: "converged", 2: "at precision limit"},
        ),
        "trace": optional(_E, "nats", "trace of the Hessian, estimated"),
        "trace_low": optional(_E, "nats", "lower end of its 95 % interval over probes"),
        "trace_high": optional(_E, "nats", "upper end of its 95 % interval over probes"),
        "random_radius": optional(("random_radius",), "1", "length of the shift of a filter over that of the filter"),
        "worst_radius": optional(("worst_radius",), "1", "length of the shift of a layer over that of the layer"),
        "random_rise": optional(_RANDOM, "nats", "mean rise of the loss over filter-normalised random shifts +-d"),
        "random_rise_se": optional(_RANDOM, "nats", "its standard error over the random directions"),
        "random_rise_example_se": optional(_RANDOM, "nats", "its standard error over examples"),
        "random_rises": optional(
            ("eps", "random_radius", "direction"), "nats", "mean rise over +d and -d of each random direction"
        ),
        "worst_rise": optional(_WORST, "nats", "rise at the worst shift found, attacked anew there: a lower bound"),
        "worst_rise_se": optional(_WORST, "nats", "its standard error over examples, the shift held"),
        "worst_rise_frozen": optional(_WORST, "nats", "rise at the same shift, the adversary held at the weights"),
        "worst_rise_gap": optional(_WORST, "nats", "how far the ascents from different starts ended apart"),
    },
    attributes={
        **COMMON,
        "measures": Attribute("texts", "what was measured beside the loss"),
        "weight_norm": Attribute("number", "length ||w|| of the trainable weights"),
        "tol": Attribute("number", "residual asked for, relative to |lambda_1|"),
        "hvps": Attribute("integer", "Hessian products spent"),
        "probes": Attribute("integer", "random starts of each trace", required=False),
        "starts": Attribute("integer", "ascents to each worst shift", required=False),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "collapsed": Attribute("flag", "whether the net is a constant classifier", required=False, optional=True),
    },
)
