"""Where perturbations may lie: the ball cut to [0, 1], how alike two perturbations are there, and random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .balls import Ball, LinfBall


class Likeness(NamedTuple):
    """How alike two perturbations of each example are, each a cosine (n,) float64, NaN where one of them is zero.

    `cosine` is of the perturbations, `sign_cosine` of their signs, `box_cosine` of what `centred` makes of them.
    """

    cosine: Tensor
    sign_cosine: Tensor
    box_cosine: Tensor


def likeness(ball: Ball, images: Tensor, first: Tensor, second: Tensor) -> Likeness:
    """Return how alike two adversarial images (n, ...) of each of `images` (n, ...) are.

    Where [0, 1] cuts the cube of an image, two perturbations agree on the pixels that can move one way alone, whatever
    the adversary does: cosine and sign-cosine have a floor far above 0. The box cosine is about 0 for two vertices
    drawn at random; the l2 ball cut to [0, 1] is no box, and there it is NaN.
    """
    shifts = [adversarial.double() - images.double() for adversarial in (first, second)]
    plain, signs = cosine(*shifts), cosine(*(shift.sign() for shift in shifts))
    if not isinstance(ball, LinfBall):
        return Likeness(plain, signs, torch.full_like(plain, torch.nan))
    return Likeness(plain, signs, cosine(*(centred(ball, images, adversarial) for adversarial in (first, second))))


def centred(ball: LinfBall, images: Tensor, adversarial: Tensor) -> Tensor:
    """Return adversarial images (n, ...) in coordinates of their feasible box: 0 its centre, -1 and 1 its sides."""
    low, high = ((images.double() + side * ball.eps).clamp(0, 1) for side in (-1, 1))
    return (2 * adversarial.double() - low - high) / (high - low)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine (n,) of the rows of two tensors (n, ...) in float64; NaN where a row is zero."""
    a, b = first.double().flatten(1), second.double().flatten(1)
    # Each row by its own length: the product of two tiny lengths underflows.
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    return (a * b).sum(dim=1)


def random_vertices(ball: Ball, images: Tensor, streams: Sequence[np.random.Generator]) -> Tensor:
    """Return images (n, ...) perturbed to the edge of the ball at random and cut to [0, 1], one stream an image.

    In l-inf a vertex of the feasible box, each with the same chance; in l2 a uniform point of the sphere, then cut.
    """
    drawn = np.stack([generator.standard_normal(images.shape[1:], dtype=np.float32) for generator in streams])
    return ball.project(images + ball.eps * ball.ascent(torch.from_numpy(drawn).to(images)), images)
