"""The ascent of training's attack as one recording, replayed for each batch: on CUDA, a graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..borrow import Network, full_precision
from .pgd import PGD, Noise
from .twin import REFUSALS

logger = logging.getLogger(__name__)

# Takes a function of tensors that stay where they are; returns the tensor that each replay leaves its result in, and
# the replay. It may call the function as often as it likes.
Record = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], None]]]

_WARM_UP = 3  # runs before the capture: libraries choose their kernels and take their memory in them


def cuda_graph(ascent: Callable[[], Tensor], *, device: torch.device) -> tuple[Tensor, Callable[[], None]]:
    """Capture an ascent on a CUDA device as a graph; see `Record`. Raises RuntimeError where it cannot."""
    with torch.cuda.device(device):
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                ascent()
        here.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = ascent()
    return result, graph.replay


def recorder_for(device: torch.device) -> Record | None:
    """Return what records on a device: None where nothing does."""
    return partial(cuda_graph, device=device) if device.type == "cuda" else None


class CapturedAttack:
    """Attacks as a PGD does, by replaying a recording of its ascent for batches of `size` images.

    Radius and step are tensors of the recording: a schedule changes their values and records nothing anew; so do the
    weights of a twin, which stay where they are. Random starts are drawn as ever, and copied in. Everything else runs
    step by step: without a `record`, for the net itself (one with hooks, or without a twin), for a batch of another
    size, for an attack that keeps the best or starts anew, and, once and for all, where the recording fails.
    """

    def __init__(self, size: int, *, record: Record | None) -> None:
        self.size = size
        self._record = record
        self._tape: _Tape | None = None

    def __call__(self, attack: PGD, network: Network, images: Tensor, labels: Tensor, *, noise: Noise) -> Tensor:
        """Return adversarial images (N, ...); the arguments are those of `PGD`, `network` at its weights of now."""
        plain = attack.keep == "last" and attack.restarts == 1
        if self._record is None or not plain or isinstance(network, nn.Module) or len(images) != self.size:
            return attack(network, images, labels, noise=noise)
        with full_precision():
            start = attack.start_images(images, noise(0) if attack.start != "zero" else [])
            if self._tape is None or not self._tape.fits(attack, network, images):
                try:
                    self._tape = _Tape(self._record, attack, network, images, labels, start)
                except REFUSALS as error:
                    logger.info("the attack is not captured (%s); it runs step by step", str(error).partition("\n")[0])
                    self._record = self._tape = None
                    return attack.climb(network, images, labels, start)
            return self._tape.play(attack, images, labels, start)


class _Tape:
    """A recording of one ascent, with the tensors that it reads."""

    def __init__(
        self, record: Record, attack: PGD, network: Network, images: Tensor, labels: Tensor, start: Tensor
    ) -> None:
        self.network, self.steps, self.norm = network, attack.steps, attack.ball.norm
        # Clones keep the layout, and so the arithmetic, of what they are clones of.
        self.images, self.labels, self.start = images.clone(), labels.clone(), start.clone()
        self.eps, self.step = (images.new_tensor(size) for size in (attack.ball.eps, attack.step_size))
        sizes = (self.eps, self.step)
        self.result, self.replay = record(
            lambda: attack.climb(network, self.images, self.labels, self.start, sizes=sizes)
        )

    def fits(self, attack: PGD, network: Network, images: Tensor) -> bool:
        """Say whether the recording is of this attack but for its radius and step, and of images like these."""
        same = (network is self.network, attack.steps == self.steps, attack.ball.norm == self.norm)
        return all(same) and (images.shape, images.dtype) == (self.images.shape, self.images.dtype)

    def play(self, attack: PGD, images: Tensor, labels: Tensor, start: Tensor) -> Tensor:
        """Return the last iterate (N, ...) for these images, in memory of its own."""
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.start.copy_(start)
        self.eps.fill_(attack.ball.eps)
        self.step.fill_(attack.step_size)
        self.replay()
        return self.result.clone()
