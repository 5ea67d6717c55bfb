"""`landscape train` and `landscape traces`: a run along its steps."""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind, optional

_TESTED, _PROBED = ("test/step",), ("probe/step",)

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
        "error_rate_se": optional(("T",), "1", "standard error of the error rate over examples"),
        "gradient_norm_se": optional(
            ("T",), "1", "standard error over examples of the gradient's component along itself"
        ),
        "loss_se": optional(("T",), "nats", "standard error of the loss over examples"),
        "clean_loss": optional(("T",), "nats", "mean loss of the same examples, not attacked"),
        "clean_gradient_norm": optional(("T",), "1", "norm of the gradient of the clean loss"),
        "gradient_cosine": optional(("T",), "1", "cosine of the clean and the adversarial gradient"),
        "layer_gradient_norm": optional(
            ("T", "layer"), "1", "norm of the gradient of each layer, as `layers` names them"
        ),
        "lambda_1": optional(("T",), "nats", "largest Hessian eigenvalue of the loss, the adversary frozen"),
        "lambda_1_residual": optional(("T",), "nats", "an eigenvalue lies within this of `lambda_1`"),
        "test/step": Array(_TESTED, "int64", "1", "updates before this evaluation on test examples", required=False),
        "test/eps": optional(_TESTED, "pixel units", "radius that the schedule had reached: the current eps"),
        "test/clean_loss": optional(_TESTED, "nats", "mean loss, not attacked"),
        "test/clean_error_rate": optional(_TESTED, "1", "fraction wrong, not attacked"),
        "test/robust_loss": optional(_TESTED, "nats", "mean loss under attack at the current eps"),
        "test/robust_error_rate": optional(_TESTED, "1", "fraction wrong under attack at the current eps"),
        "test/target_robust_loss": optional(_TESTED, "nats", "mean loss under attack at the target, `train_eps`"),
        "test/target_robust_error_rate": optional(
            _TESTED, "1", "fraction wrong under attack at the target, `train_eps`"
        ),
        "probe/step": Array(_PROBED, "int64", "1", "updates before this look of the guard", required=False),
        "probe/eps": optional(_PROBED, "pixel units", "radius that the schedule had reached"),
        "probe/clean_loss": optional(_PROBED, "nats", "mean loss of probed examples, not attacked"),
        "probe/clean_error_rate": optional(_PROBED, "1", "fraction wrong, not attacked"),
        "probe/attack_error_rate": optional(_PROBED, "1", "fraction wrong under the attack of training"),
        "probe/robust_error_rate": optional(_PROBED, "1", "fraction wrong under the guard's stronger PGD"),
    },
    attributes={
        **COMMON,
        "measured": Attribute("text", "what a row is over", choices=("mini-batches", "checkpoints")),
        "layers": Attribute("texts", "names of the layers", required=False),
        "batch_size": Attribute("integer", "examples of a mini-batch", required=False),
        "steps_per_epoch": Attribute("integer", "updates in one pass over the training data", required=False),
        "trace_every": Attribute("integer", "a row for every so many mini-batches", required=False),
        "halves_every": Attribute("integer", "half-batch gradients at every so many rows", required=False),
        "extras_every": Attribute("integer", "optional columns at every so many rows", required=False),
        "lambda_1_examples": Attribute("integer", "fixed training examples behind `lambda_1`", required=False),
        "test_every": Attribute("integer", "test rows at every so many steps", required=False),
        "test_examples": Attribute("integer", "test examples that a test row is over", required=False),
        "test_attack": Attribute("text", "attack of the test rows", required=False),
        "probe_examples": Attribute("integer", "examples that the guard looks at", required=False),
        "probe_attack": Attribute("text", "the guard's attack", required=False),
        "probe_split": Attribute("text", "where they come from", required=False, choices=("train", "holdout")),
        "events": Attribute("json", "what the guard saw: step, kind and words of each", required=False),
    },
)
