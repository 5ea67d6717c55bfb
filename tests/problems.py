"""The nets, examples and matrices whose answers are known: dense oracles to hold the library against."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from landscape.models import build_model
from landscape.models.resnet import BasicBlock
from landscape.objective import Objective

CLASSES = 3


class TinyResNet(nn.Module):
    """The published residual form at 768 parameters: stem, an identity block, a strided block with a shortcut."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(3)
        self.layer1 = BasicBlock(3, 3, 1, activation)
        self.layer2 = BasicBlock(3, 6, 2, activation)
        self.classifier = nn.Linear(6, CLASSES)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.activation(self.bn1(self.conv1(x)))))
        return self.classifier(x.mean((2, 3)))


class Tied(nn.Module):
    """A net that uses one weight twice: `second` is `first`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x.flatten(1))))))


class Attention(nn.Module):
    """A net that cuts images (B, 1, 4, 4) into four tokens, embeds them, and attends: PyTorch's fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.queries_keys_values = nn.Linear(4, 12)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedding(x.flatten(1).unflatten(1, (4, 4)))
        split = self.queries_keys_values(self.norm(tokens)).unflatten(2, (6, 2)).transpose(1, 2).chunk(3, 1)
        attended = nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        return self.head((tokens + attended).mean(1))


class Encoder(nn.Module):
    """PyTorch's own encoder layer, whose eval mode has a fused kernel for the whole layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1, activation="gelu", batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.flatten(1).unflatten(1, (4, 4))).mean(1))


class Grouped(nn.Module):
    """A convolution under GroupNorm, on images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.norm(self.convolution(x))).mean((2, 3)))


class Embedded(nn.Module):
    """A net that looks pixels up in a table of their levels, and ties that table to its last layer's weights.

    Pixels (B, 1, 4, 4) are rounded to `levels`: the loss does not depend on images in between, and no gradient reaches
    them.
    """

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        self.levels = levels
        self.table = nn.Embedding(levels, CLASSES)
        self.mix = nn.Linear(16, levels)
        self.head = nn.Linear(CLASSES, levels, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        found = self.table((x.flatten(1) * (self.levels - 1)).round().long())
        return torch.tanh(self.mix(self.head(found).mean(2))) @ self.table.weight


class Heads(nn.Module):
    """PyTorch's multi-head attention as most call it, its weights asked for, on images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(1).unflatten(1, (4, 4))
        return self.head((tokens + self.attention(tokens, tokens, tokens)[0]).mean(1))


class Recurrent(nn.Module):
    """An LSTM over the rows of images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.LSTM(4, 3, batch_first=True)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.flatten(1).unflatten(1, (4, 4)))[0][:, -1])


class Reparametrised(nn.Module):
    """Layers under weight normalisation, in both of its forms, and spectral normalisation, on images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        made = nn.utils.parametrizations
        self.first = made.weight_norm(nn.Linear(16, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # deprecated, and in many a checkpoint
            self.second = nn.utils.weight_norm(nn.Linear(4, 4))
        self.head = made.spectral_norm(nn.Linear(4, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.gelu(self.second(nn.functional.gelu(self.first(x.flatten(1))))))


class Headed(nn.Module):
    """A head that is trained on a frozen backbone of half precision, on images (B, 1, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(16, 5).bfloat16().requires_grad_(False)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.backbone(x.flatten(1).bfloat16())).to(self.head.weight.dtype))


class WithUnused(nn.Module):
    """A net with a parameter that no loss depends on, and one that the outputs are linear in."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(4))
        self.body = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(1))


def lenet(activation: str = "relu", *, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return the published LeNet form, 1,539 parameters, on 1x8x8 images, in train mode."""
    spec = "lenet:width=1" + ("" if activation == "relu" else f",activation={activation}")
    return build_model(spec, input=(1, 8, 8), classes=CLASSES, seed=seed)[0].to(dtype)


def resnet(activation: str = "relu", *, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return the residual form with BatchNorm statistics away from 0 and 1, in train mode."""
    generator = torch.Generator().manual_seed(seed)
    net = fill(TinyResNet(nn.ReLU() if activation == "relu" else nn.Softplus()), seed=seed)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return net.to(dtype)


def mlp(
    hidden: Sequence[int] = (8,),
    *,
    inputs: tuple[int, int, int] = (1, 2, 3),
    activation: str = "softplus",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> nn.Module:
    """Return a perceptron on images of shape `inputs`, in train mode."""
    sizes = "x".join(map(str, hidden))
    return build_model(f"mlp:hidden={sizes},activation={activation}", input=inputs, classes=CLASSES, seed=seed)[0].to(
        dtype
    )


def fill(net: nn.Module, *, seed: int = 0, scale: float = 0.4) -> nn.Module:
    """Draw every parameter anew from a normal distribution, those of BatchNorm around 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    norms = {id(m.weight) for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(
                (id(parameter) in norms) + scale * torch.randn(parameter.shape, generator=generator).to(parameter)
            )
    return net


def examples(
    n: int, shape: tuple[int, ...] = (1, 8, 8), *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Return images (n, *shape) in [0, 1] and labels (n,), at random."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, *shape, generator=generator, dtype=dtype)
    return images, torch.randint(CLASSES, (n,), generator=generator)


def mean_loss(objective: Objective) -> Callable[[Tensor], Tensor]:
    """Return the objective's mean cross-entropy as plain PyTorch, a function of w (P,): one batch, no library code."""
    model = objective.model.eval()
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    shapes = [p.shape for p in model.parameters() if p.requires_grad]

    def value(w: Tensor) -> Tensor:
        pieces = w.split([shape.numel() for shape in shapes])
        weights = {name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        outputs = functional_call(model, weights, (objective.images.to(w.dtype),))
        return nn.functional.cross_entropy(outputs, objective.labels)

    return value


def dense_hessian(objective: Objective, w: Tensor | None = None) -> Tensor:
    """Return the Hessian (P, P) of the mean cross-entropy at w (P,) by forward over reverse mode, columns in chunks."""
    w = objective.w0 if w is None else w
    slope = grad(mean_loss(objective))
    eye = torch.eye(len(w), dtype=w.dtype)
    hessian: Tensor = vmap(lambda v: jvp(slope, (w,), (v,))[1], out_dims=1, chunk_size=256)(eye)
    return hessian


class Dense:
    """A symmetric matrix (n, n) as an operator; its products are made in the matrix's own precision."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.shape = tuple(matrix.shape)
        self.device, self.dtype = matrix.device, matrix.dtype
        self.products = 0

    def __matmul__(self, v: Tensor) -> Tensor:
        self.products += v[0].numel()
        return (self.matrix @ v.to(self.dtype)).to(v.dtype)


def symmetric(values: Iterable[float] | np.ndarray, *, seed: int = 0) -> Tensor:
    """Return a symmetric matrix (n, n) with these eigenvalues (n,), in a random basis, float64."""
    spectrum = torch.as_tensor(np.asarray(values, dtype=np.float64))
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(spectrum), len(spectrum), generator=generator, dtype=torch.float64))
    matrix = (basis * spectrum) @ basis.T
    return (matrix + matrix.T) / 2


def state_of(model: nn.Module) -> dict[str, Any]:
    """Return all that a borrower could leave behind: modes, weights, buffers, gradients, flags, global generators."""
    return {
        "modes": [module.training for module in model.modules()],
        "tensors": {name: value.clone() for name, value in model.state_dict().items()},
        "identity": [id(value) for value in (*model.parameters(), *model.buffers())],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002  # the global generator is what is watched
        "dtype": torch.get_default_dtype(),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32),
    }


def assert_untouched(model: nn.Module, before: dict[str, Any]) -> None:
    """Fail where the model or a global generator differs from `before`, as `state_of` recorded it."""
    after = state_of(model)
    for key in ("modes", "identity", "requires_grad", "dtype", "precision"):
        assert after[key] == before[key], key
    for name, value in before["tensors"].items():
        assert torch.equal(after["tensors"][name], value), name
    for one, other in zip(after["gradients"], before["gradients"], strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    assert torch.equal(after["torch"], before["torch"])
    assert np.array_equal(after["numpy"], before["numpy"])
