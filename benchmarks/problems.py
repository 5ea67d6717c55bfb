"""The nets, data and frozen adversarial examples that every contender of a benchmark gets."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pooch
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from landscape import __version__
from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator
from landscape.data import ImageData, load_data, select, to_unit
from landscape.errors import LandscapeError
from landscape.models import build_model
from landscape.objective import Objective
from landscape.training import Recipe, train

SEED = 0


@dataclass(frozen=True)
class Case:
    """A net, the data it is published for, how it is trained here, and the sizes that it is measured at."""

    name: str
    model: str
    image: tuple[int, int, int]
    real_data: str | None  # used where the user says where it lies; otherwise digits, resized
    examples: tuple[int, ...]
    micro_batch: int
    recipe: Recipe
    train_examples: int


# Trained briefly, but trained: an untrained net's spectrum is degenerate, and products needed depend on the spectrum.
CASES = {
    case.name: case
    for case in (
        Case("tiny", "lenet:width=1", (1, 8, 8), None, (100,), 32, Recipe(eps=0.1, epochs=3), 512),
        # Trained to the end, and small enough for its Hessian to be written down.
        Case("digits", "lenet:width=1", (1, 8, 8), None, (250,), 250, Recipe(eps=0.1, epochs=20, batch_size=32), 1437),
        Case("lenet", "lenet:width=4", (1, 28, 28), "mnist", (256, 512), 128, Recipe(eps=0.1, epochs=8), 1437),
        Case(
            "resnet18",
            "resnet18:width=4",
            (3, 32, 32),
            "cifar10",
            (32,),
            32,
            Recipe(eps=8 / 255, epochs=4, batch_size=64, attack="pgd:steps=3,rel_step=0.5", augment=False),
            1024,
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Problem:
    """One case at one size: the trained net in eval mode and the objective of its n frozen adversarial examples."""

    case: Case
    model: nn.Module
    objective: Objective
    data: str  # what the examples are, in words

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.objective.n

    @property
    def w(self) -> Tensor:
        """The weights (P,) at which the curvature is taken."""
        return self.objective.w0

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Return the micro-batches as a loader of (images, labels), in order, the short last one included."""
        return [(batch.images, batch.labels) for batch in self.objective.batches(self.case.micro_batch)]

    def operator(self, *, keep_graphs: bool = True) -> HessianOperator:
        """Return our Hessian operator (P, P) at the net's weights, in the micro-batches that all contenders get."""
        return HessianOperator(self.objective, self.w, batch_size=self.case.micro_batch, keep_graphs=keep_graphs)

    def in_float64(self) -> HessianOperator:
        """Return the Hessian (P, P) of the same net and images computed in float64: the judge of everyone's pairs."""
        twin = copy.deepcopy(self.model).double()
        objective = Objective(twin, self.objective.images, self.objective.labels, batch_size=self.case.micro_batch)
        return HessianOperator(objective, batch_size=self.case.micro_batch)


def make_problem(case: Case, n: int, *, data_dir: Path | None = None) -> Problem:
    """Return the problem of a case with n examples: the net from the user's cache or trained, the attack frozen.

    Real data are taken from `data_dir`; where there is none, or it lacks them, digits are resized, and the problem
    says so. Raises UsageError for more examples than there are.
    """
    data, words = load_images(case, data_dir)
    model = _trained(case, data)
    examples = select(data, n, seed=SEED)
    objective = Objective(
        model,
        examples.images,
        examples.labels,
        attack=PGD(LinfBall(case.recipe.eps)),
        batch_size=case.micro_batch,
        seed=SEED,
        indices=examples.indices,
    )
    return Problem(case, model, objective.freeze(), words)


def load_images(case: Case, data_dir: Path | None) -> tuple[ImageData, str]:
    """Return a case's images and what they are in words: its real data from `data_dir`, or digits resized."""
    if case.real_data is not None and data_dir is not None:
        try:
            return load_data(case.real_data, data_dir=data_dir), case.real_data
        except LandscapeError as error:
            why = f"; {case.real_data} could not be read: {error}"
    else:
        why = ""
    digits = load_data("digits")
    channels, height, width = case.image
    if digits.shape == case.image:
        return digits, "digits" + why
    images = F.interpolate(to_unit(digits.images), (height, width), mode="bilinear", align_corners=False)
    resized = replace(digits, images=images.clamp(0, 1).expand(-1, channels, -1, -1).contiguous())
    return resized, f"digits resized to {channels}x{height}x{width}, not {case.real_data}{why}"


def _trained(case: Case, data: ImageData) -> nn.Module:
    model, spec = build_model(case.model, input=case.image, classes=data.classes, seed=SEED)
    subset = select(data, min(case.train_examples, len(data)), seed=SEED)
    data = replace(data, images=subset.images, labels=subset.labels)
    identity = [spec, case.recipe.to_dict(), data.sha256, __version__, torch.__version__]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    path = Path(pooch.os_cache("landscape")) / "benchmarks" / f"{case.name}-{key}.safetensors"
    if path.exists():
        model.load_state_dict(load_file(path))
    else:
        train(model, data, case.recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return model.eval()
