"""`landscape theory`: regimes and optima of the linear model over eps."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind

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
