"""`landscape hessian`: the top of the spectrum, each pair with its evidence; with `--density` all of it."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind

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
