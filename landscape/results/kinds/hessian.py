"""`landscape hessian`: the top of the spectrum, each pair with its evidence; with `--density` all of it."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

_GRID, _NODES, _SIZES = ("density/grid",), ("density/nodes",), ("by_size/n",)
_EXAMPLES, _TERMS = ("examples/index",), ("pair", "examples/index")
_SHARPEST = "examples/sharpest"
_ALONG = ("reattack/direction", "reattack/h", "reattack/index")

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
        "examples/index": optional(_EXAMPLES, "1", "index of each example in its split", dtype="int64"),
        "examples/label": optional(_EXAMPLES, "1", "its label", dtype="int64"),
        "examples/predicted": optional(_EXAMPLES, "1", "class that the net gives it, attacked", dtype="int64"),
        "examples/rival": optional(
            _EXAMPLES, "1", "class of its largest logit but its label's, attacked", dtype="int64"
        ),
        "examples/loss": optional(_EXAMPLES, "nats", "its loss, attacked"),
        "examples/clean_loss": optional(_EXAMPLES, "nats", "its loss, not attacked"),
        "examples/margin": optional(_EXAMPLES, "1", "its label's logit less the largest other one, attacked"),
        "examples/curvature": optional(_TERMS, "nats", "v'H_i v: its curvature along v; the mean is v'Hv"),
        "examples/gauss_newton": optional(_TERMS, "nats", "v'G_i v: the part of it that the loss alone bends"),
        "examples/gradient": optional(_TERMS, "nats", "g_i'v: the slope of its loss along v"),
        "examples/sharpest": optional(
            (_SHARPEST,), "1", "indices of those with most of the first curvature", dtype="int64"
        ),
        "examples/image": optional(
            (_SHARPEST, "channel", "row", "column"), "pixel units", "the images of these, attacked", dtype="float32"
        ),
        "by_size/n": optional(_SIZES, "examples", "sizes of nested subsets, all examples last", dtype="int64"),
        "by_size/eigenvalues": optional((*_SIZES, "j"), "nats", "first eigenvalues of the mean over so many examples"),
        "by_size/residuals": optional((*_SIZES, "j"), "nats", "||Hv - lambda v|| of these"),
        "by_size/eigenvalue_se": optional((*_SIZES, "j"), "nats", "standard error of these over so many examples"),
        "reattack/direction": optional(
            _ALONG[:1], "1", "number of the eigenpair that a direction is of, 0 for another", dtype="int64"
        ),
        "reattack/h": optional(_ALONG[1:2], "length", "steps to both sides of the weights, Euclidean"),
        "reattack/index": optional(_ALONG[2:], "1", "index of each example in its split", dtype="int64"),
        "reattack/curvature": optional(_ALONG, "nats", "second difference of its loss, attacked anew at each place"),
        "reattack/frozen": optional(_ALONG, "nats", "the same with the perturbation held that is best at the weights"),
        "reattack/raw": optional(_ALONG, "nats", "the same of what the attack alone found at each place"),
        "reattack/jump": optional(_ALONG, "nats", "change of slope from the perturbation best behind to that ahead"),
        "reattack/distance": optional(_ALONG, "pixel units", "how far these two lie apart, in the norm of the ball"),
        "reattack/own_jump": optional(_ALONG, "nats", "change of slope between what the attack alone found"),
        "reattack/crosses": optional(
            _ALONG, "1", "1 where each of what the attack alone found is the better one on its side", dtype="uint8"
        ),
        "reattack/verdict": Array(
            _ALONG,
            "uint8",
            "code",
            "what the example's loss does between w - h v and w + h v",
            required=False,
            codes={0: "perturbation still", 1: "kink", 2: "moves smoothly", 3: "too few steps"},
        ),
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
