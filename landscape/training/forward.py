"""The forward pass of an update: in which precision and layout, over how many processes, compiled or not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..attacks.twin import REFUSALS
from ..borrow import Network
from ..distributed import ALONE, Group

logger = logging.getLogger(__name__)

_SAMPLE = 8  # examples that a layout is tried on


class Forward:
    """The net in train mode as a function of images (N, ...): logits (N, K) in the images' dtype.

    `precision` "bf16" computes in bfloat16 where torch deems it safe. `compiler` names a backend of torch.compile,
    which is tried forward and backward before it is used: where it fails, a warning says so and the net runs as it is.
    A layout is tried in the same way. A trial leaves BatchNorm's statistics and the generators as they were.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: torch.device,
        precision: str = "float32",
        compiler: str | None = None,
        group: Group = ALONE,
    ) -> None:
        self.model, self.device, self.precision, self.group = model, device, precision, group
        self.compiler = compiler
        self._network: Network = model
        self._takes: dict[torch.memory_format, bool] = {torch.contiguous_format: True}

    def __call__(self, images: Tensor, *, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
        """Return the logits; the images are laid out as told where the net takes them so."""
        if layout not in self._takes:
            self._takes[layout] = self._trial(self.model, images[:_SAMPLE].contiguous(memory_format=layout)) is None
        if self._takes[layout]:
            images = images.contiguous(memory_format=layout)
        with self.group.synchronised(self.model):
            return self._run(self._network, images)

    def compile(self, images: Tensor) -> None:
        """Compile the net for batches such as these (N, ...), where it was asked for and the net can be compiled."""
        if self.compiler is None:
            return
        name, self.compiler = self.compiler, None
        trouble: object = "several processes wait for one another within it"
        if self.group.world == 1:
            try:
                network: Network = torch.compile(self.model, backend=name)
                trouble = self._trial(network, images)
            except REFUSALS as error:  # no such backend
                trouble = error
            if trouble is None:
                self._network = network
                return
        logger.warning("caution: the updates are not compiled (%s); they run as they are", _first_line(trouble))

    def _run(self, network: Network, images: Tensor) -> Tensor:
        half_precision = (
            torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()
        )
        with half_precision:
            return network(images).to(images.dtype)

    def _trial(self, network: Network, images: Tensor) -> Exception | None:
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        with restored(self.model, self.device):
            try:
                total = self._run(network, images.detach()).sum()
                torch.autograd.grad(total, parameters, allow_unused=True)
            except REFUSALS as error:
                return error
        return None


@contextlib.contextmanager
def restored(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a net's buffers and torch's generators back afterwards: what runs within leaves no trace in a run."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def _first_line(trouble: object) -> str:
    return (str(trouble).strip() or type(trouble).__name__).partition("\n")[0].rstrip(".")
