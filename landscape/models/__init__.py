"""Nets: LeNet, ResNet18 and VGG16 of the paper, a linear model, an MLP, or the user's own, each from a spec string."""

from __future__ import annotations

from .normalised import normalisation_of, normalise_inside
from .registry import ARCHITECTURES, build_model, model_shape

__all__ = ["ARCHITECTURES", "build_model", "model_shape", "normalisation_of", "normalise_inside"]
