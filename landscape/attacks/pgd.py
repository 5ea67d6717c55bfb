"""Projected gradient ascent on the loss (Madry et al. 2018), best or last iterate."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ..borrow import Network, detached, evaluating, full_precision
from ..errors import UsageError
from ..losses import Loss, cross_entropy, per_example
from ..spec import nearest, parse_spec
from ..streams import example_streams
from ..units import format_eps, parse_number
from .balls import Ball
from .best import Best

Noise = Callable[[int], list[np.random.Generator]]
Visit = Callable[[Tensor, Tensor, Tensor], None]  # an iterate (N, ...), its outputs (N, ...), its losses (N,)
Flat = Callable[[Tensor], object]
STARTS = ("ball", "step", "zero")
KEEPS = ("best", "last")


@dataclass(frozen=True)
class PGD:
    """Projected gradient ascent: `steps` steps of `rel_step` times eps (or of `step` pixels), from `restarts` starts.

    start: "ball" (uniform in the ball), "step" (uniform in the ball of one step, the paper's way) or "zero".
    keep: "best" returns each example's iterate of the highest loss, over all restarts; "last" the last one.
    """

    ball: Ball
    steps: int = 10
    rel_step: float = 0.25
    step: float | None = None
    restarts: int = 1
    start: str = "ball"
    keep: str = "best"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("restarts", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} = {getattr(self, name)} in the attack; wanted {least} or more")
        for name in ("rel_step", "step"):
            size = getattr(self, name)
            if size is not None and not (math.isfinite(size) and size > 0):
                raise UsageError(f"{name} = {size} in the attack; wanted a positive number, such as rel_step=0.25")
        for name, known in (("start", STARTS), ("keep", KEEPS)):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} = {getattr(self, name)!r} in the attack; {nearest(getattr(self, name), known)}"
                )

    def __str__(self) -> str:
        size = f"rel_step={float(self.rel_step)}" if self.step is None else f"step={_written(self.step)}"
        extra = "" if self.start == "ball" else f",start={self.start}"
        extra += "" if self.keep == "best" else f",keep={self.keep}"
        return f"pgd:steps={self.steps},{size},restarts={self.restarts}{extra}"

    @property
    def step_size(self) -> float:
        """Length of one step, in pixel units."""
        return self.rel_step * self.ball.eps if self.step is None else self.step

    def with_eps(self, eps: float) -> Self:
        """Return the same attack in a ball of another radius; a relative step follows it."""
        return replace(self, ball=self.ball.with_eps(eps))

    def __call__(
        self,
        model: nn.Module | Network,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
        loss: Loss = cross_entropy,
    ) -> Tensor:
        """Return adversarial images (N, ...) in the ball around `images` (N, ...) and in [0, 1].

        `noise(restart)` gives one NumPy stream per example (so that a start does not depend on the batch it came in);
        without it, streams are drawn from `generator`. The net runs in eval mode and is left as it was.
        """
        if self.ball.eps == 0:
            return images.clone()
        streams = noise if noise is not None else _streams(generator, len(images))
        borrowed = evaluating(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
        network = detached(model) if isinstance(model, nn.Module) else model
        best = Best(images, labels)
        judged = self.keep == "best" or self.restarts > 1
        with borrowed, full_precision():
            for restart in range(self.restarts):
                start = self.start_images(images, streams(restart) if self.start != "zero" else [])
                visit = best.offer if self.keep == "best" else None
                x = self.climb(network, images, labels, start, loss=loss, visit=visit)
                if judged:
                    best.judge(network, x, labels, loss=loss)
        return best.images if judged else x

    def climb(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        start: Tensor,
        *,
        loss: Loss = cross_entropy,
        visit: Visit | None = None,
        flat: Flat | None = None,
        sizes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the last iterate (N, ...) of one ascent from `start` (N, ...), around `images` (N, ...).

        `visit` sees each iterate but that last one, which nobody has judged, with its outputs and losses; `flat` sees
        where the first gradient is exactly zero (N,); `sizes` are the radius () and the step () on the device, where
        they are not the attack's own numbers. Call it in eval mode and in full precision.
        """
        eps, step = (None, self.step_size) if sizes is None else sizes
        x = start.detach()  # of its own: the caller may keep `start` for another ascent
        for number in range(self.steps):
            with torch.enable_grad():
                x.requires_grad_()
                outputs = network(x)
                losses = per_example(loss, outputs, labels)
                gradient = torch.zeros_like(x)  # where the loss does not move with the pixels: rounding, a table
                if losses.requires_grad:
                    (gradient,) = torch.autograd.grad(losses.sum(), x, materialize_grads=True)
            x = x.detach()
            if visit is not None:
                visit(x, outputs.detach(), losses.detach())
            if flat is not None and number == 0:
                flat(gradient.flatten(1).eq(0).all(dim=1))
            x = self.ball.project(x + step * self.ball.ascent(gradient), images, eps)
        return x

    def start_images(self, images: Tensor, streams: list[np.random.Generator]) -> Tensor:
        """Return where an ascent starts (N, ...): one stream of randomness an image, none where `start` is "zero"."""
        if self.start == "zero":
            return images.clone()
        ball = self.ball if self.start == "ball" else self.ball.with_eps(min(self.step_size, self.ball.eps))
        shift = ball.random_points(streams, images.shape[1:])
        return self.ball.project(images + shift.to(images), images)


def _written(step: float) -> str:
    # An attack is read back from its words, so they must not round.
    short = format_eps(step)
    return short if parse_number(short, name="step") == step else str(float(step))


def _streams(generator: torch.Generator | None, n: int) -> Noise:
    # Without a generator the attack is the same at every call: randomness is an argument, never a hidden state.
    seed = 0 if generator is None else int(torch.randint(2**62, (), generator=generator, device=generator.device))
    return lambda restart: example_streams(seed, f"attack/restart{restart}", range(n))


def parse_attack(text: str, ball: Ball) -> PGD:
    """Read an attack as commands write it: `pgd:steps=10,rel_step=0.25,restarts=1` (or `step=1/255`)."""
    spec = parse_spec(text)
    if spec.head != "pgd" or spec.callable is not None:
        raise UsageError(f"attack {text!r} is unknown; write pgd:steps=10,rel_step=0.25,restarts=1")
    if {"step", "rel_step"} <= spec.settings.keys():
        raise UsageError(f"attack {text!r} sets both step and rel_step; give one of them")
    values: dict[str, int | float | str] = {}
    for key, value in spec.settings.items():
        if key in ("steps", "restarts"):
            if not value.isdecimal():
                raise UsageError(f"{key} = {value!r} in the attack; wanted a whole number")
            values[key] = int(value)
        elif key in ("step", "rel_step"):
            values[key] = parse_number(value, name=key)
        elif key in ("start", "keep"):
            values[key] = value
        else:
            known = ("steps", "rel_step", "step", "restarts", "start", "keep")
            raise UsageError(f"the attack has no setting {key!r}; {nearest(key, known)}")
    return PGD(ball, **values)  # type: ignore[arg-type]  # the keys were matched to their types above
