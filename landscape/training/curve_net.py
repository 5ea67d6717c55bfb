"""The nets on a curve as one net to train: its parameters are the control points between the ends."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UsageError
from ..geometry import Curve, make_curve
from ..params import ParameterSpace
from ..streams import stream


class CurveNet(nn.Module):
    """A net whose weights are w(t) on a curve, with the interior control points (m, P) to learn and the ends held.

    `place` moves it to another t, each update to one of its own (Garipov et al. 2018: the mean loss over t uniform in
    [0, 1]). `net` is a copy of the net at w(t), for whoever attacks: no gradient goes to its weights. Its BatchNorm
    statistics are those of the last batch that it saw in train mode: no running average fits all t. Raises UsageError
    for a curve without interior points, or a net that cannot be copied.
    """

    control: nn.Parameter
    ends: Tensor
    coefficients: Tensor

    def __init__(self, model: nn.Module, curve: Curve) -> None:
        super().__init__()
        if not curve.interior:
            raise UsageError("a curve without interior points has nothing to train; give --interior-points 1 or more")
        self._space = ParameterSpace(model)
        self._curve = curve
        try:
            self.net = copy.deepcopy(model).requires_grad_(requires_grad=False)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise UsageError(
                f"the net cannot be copied ({' '.join(str(error).split())}), and no curve trained"
            ) from error
        norms = [module for module in self.net.modules() if isinstance(module, _BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
        self._has_batchnorm = any(norm.track_running_stats for norm in norms)
        self.control = nn.Parameter(curve.points[1:-1].clone())
        self.register_buffer("ends", curve.points[[0, -1]].clone())
        self.register_buffer("coefficients", curve.points.new_zeros(len(curve.points)))
        self.place(0.5)

    @property
    def curve(self) -> Curve:
        """The curve through the control points of now."""
        points = torch.cat([self.ends[:1], self.control.detach(), self.ends[1:]])
        return make_curve(self._curve.name, points)

    def place(self, t: float, images: Tensor | None = None) -> None:
        """Move to w(t); the BatchNorm statistics of `net` become those of `images` there, where images came."""
        self.coefficients.copy_(torch.from_numpy(self._curve.coefficients(t)))
        with torch.no_grad():
            held = dict(self.net.named_parameters())
            for name, value in self._space.named(self._weights()).items():
                held[name].copy_(value)
            if images is not None and self._has_batchnorm and self.training:
                self.net(images)

    def begin_step(self, step: int, seed: int, images: Tensor) -> None:
        """Move to the t of an update, a function of (seed, step) alone: a resumed run repeats it."""
        self.place(float(stream(seed, f"curve/step{step}").random()), images)

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs of the net at w(t), with a gradient to the control points."""
        outputs: Tensor = functional_call(self.net, dict(self._space.named(self._weights())), (images,))
        return outputs

    def _weights(self) -> Tensor:
        c = self.coefficients
        return c[0] * self.ends[0] + c[1:-1] @ self.control + c[-1] * self.ends[1]
