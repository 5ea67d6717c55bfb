"""`landscape evaluate`: which examples each net gets right under which attack."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

_NET, _CELL, _CURVE = ("M",), ("M", "A"), ("curve/eps",)

EVALUATE = Kind(
    title="clean and robust error of nets",
    arrays={
        "checkpoints": Array(_NET, "text", "name", "the nets' checkpoints, or the ensemble's members in one name"),
        "attacks": Array(("A",), "text", "name", "the attacks, clean being none; `attack` has their settings"),
        "error_rate": Array(_CELL, "float64", "1", "fraction wrong: on the clean image or on the attacked one"),
        "error_low": Array(_CELL, "float64", "1", "lower end of Wilson's 95 % interval over examples"),
        "error_high": Array(_CELL, "float64", "1", "upper end of Wilson's 95 % interval over examples"),
        "worst_case": Array(_NET, "float64", "1", "fraction that the clean image or any of the attacks fools"),
        "correct": optional(
            ("M", "A", "N"),
            "truth",
            "whether the example withstands the attack; absent of labels that are numbers",
            dtype="bool",
        ),
        "loss": optional(_CELL, "nats", "of labels that are numbers: mean over examples of the largest loss found"),
        "loss_se": optional(_CELL, "nats", "its standard error over examples"),
        "worst_loss": optional(_NET, "nats", "mean of each example's largest loss under these attacks"),
        "example_loss": optional(("M", "A", "N"), "nats", "largest loss found: of the clean image, or the attack's"),
        "indices": Array(("N",), "int64", "1", "the examples' places in the split"),
        "curve/eps": optional(_CURVE, "pixel units", "radii of the curve"),
        "curve/error_rate": optional(("M", "curve/eps"), "1", "fraction wrong in these balls, on curve_examples"),
        "adequacy/missed": optional(_NET, "1", "share of the sample that more steps and restarts fool besides"),
        "adequacy/random": optional(_NET, "1", "share that random points of the ball fool, and no gradient attack"),
        "adequacy/black_box": optional(_NET, "1", "share of all that square fools, and no gradient attack"),
        "adequacy/flat": optional(_NET, "1", "share of the sample whose clean input gradient is exactly 0"),
        "adequacy/no_rise": optional(_NET, "1", "share of the sample whose loss no ascent brings above the clean one"),
        "adequacy/loss_risen": optional(_NET, "nats", "what more steps and restarts add to the sample's mean loss"),
        "adequacy/rise": optional(_NET, "nats", "what 100 steps of PGD have over 10 in the mean highest loss"),
    },
    attributes={
        **COMMON,
        "eps": Attribute("number", "radius of the attacks, pixel units of [0, 1]"),
        "ensemble": Attribute(
            "text", "how the members' outputs are joined, or none", choices=("none", "softmax", "logits")
        ),
        "cascade": Attribute("flag", "whether an attack meets only what those before it left standing"),
        "preset": Attribute("text", "the settings that were taken", choices=("default", "paper", "standard")),
        "classes": Attribute("integer", "classes of the data", required=False, optional=True),
        "verdicts": Attribute("texts", "what the adequacy checks come to, a line for each net", required=False),
        "sample_examples": Attribute("integer", "examples of the adequacy checks", required=False),
        "curve_examples": Attribute("integer", "examples that the curve is over", required=False),
        "curve_attack": Attribute("text", "attack of the curve", required=False),
    },
)
