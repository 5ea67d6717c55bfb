"""A foreign net is examined before hours are spent on it: a check each for what goes wrong, and what to do then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..arguments import read_attack
from ..attacks import PGD
from ..data import ImageData, as_data, select
from ..errors import UsageError
from ..losses import Loss, cross_entropy
from .costs import curvature, forecast
from .inputs import answers, normalisation, scores
from .patient import LOOK, OK, STOP, Finding, Patient
from .robustness import attack_strength, claim
from .state import batch_independence, batchnorm, dead_units, determinism

__all__ = ["CHECKS", "LOOK", "OK", "STOP", "Finding", "Patient", "doctor"]

EXAMPLES = 500

CHECKS: tuple[Callable[[Patient], Finding], ...] = (
    answers,
    scores,
    determinism,
    batch_independence,
    normalisation,
    batchnorm,
    dead_units,
    claim,
    attack_strength,
    curvature,
    forecast,
)
# Without outputs, finite ones, the same at each call, the other checks have nothing to hold on to: after these a stop
# ends the visit.
_FIRST = (answers, determinism, batch_independence)


def doctor(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str | None = None,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    training: Mapping[str, Any] | None = None,
    other: Callable[[str], ImageData] | None = None,
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Finding]:
    """Examine a net on `n_examples` (500) of `data`, and return what each check finds, in the order of CHECKS.

    `eps` is the radius that is to be looked at; without one the attack is not examined. `training` is what a checkpoint
    says of itself, `other(split)` another split of the data, for its claims. For another `loss` labels may be numbers.
    What cannot be measured is a finding, and not refused. The net is returned as it was.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"a {type(model).__name__} came as the model; wanted a torch.nn.Module")
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, min(EXAMPLES, len(data)) if n_examples is None else n_examples, seed=seed)
    pgd = None if eps is None else read_attack(attack, norm, eps)
    patient = Patient(model, data, examples, pgd, training or {}, other, seed, batch_size, loss)
    findings = []
    for number, check in enumerate(CHECKS):
        if progress is not None:
            progress("checks", number, len(CHECKS))
        findings.append(check(patient))
        if check in _FIRST and any(finding.verdict == STOP for finding in findings):
            break
    if progress is not None:
        progress("checks", len(CHECKS), len(CHECKS))
    return findings
