"""The paper's nets: sizes, published names and shapes, and the functions they compute, against independent forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from landscape.models import build_model

PUBLISHED = {
    "lenet": ("1x28x28", {1: 13_514, 2: 52_506, 4: 206_954, 8: 821_706, 16: 3_274_634, 32: 13_074_186}, 8, 8),
    "resnet18": ("3x32x32", {1: 44_622, 2: 176_402, 4: 701_466, 8: 2_797_610, 16: 11_173_962}, 122, 62),
    "vgg16": ("3x32x32", {1: 58_686, 4: 924_186, 8: 3_686_954, 16: 14_728_266}, 93, 54),
}
CASES = [(name, width) for name, (_, counts, _, _) in PUBLISHED.items() for width in counts]
SMALL = {
    "lenet:width=1": (1, 8, 8),
    "resnet18:width=1": (3, 8, 8),
    "vgg16:width=1": (3, 8, 8),
    "mlp:hidden=6x5": (1, 4, 4),
    "linear": (1, 4, 4),
}


def on_meta(spec: str) -> nn.Module:
    with torch.device("meta"):
        return build_model(spec)[0]


@pytest.mark.parametrize(("name", "width"), CASES)
def test_sizes_are_the_published_ones(name: str, width: int) -> None:
    shape, counts, entries, tensors = PUBLISHED[name]
    model = on_meta(f"{name}:width={width},input={shape}")
    assert sum(p.numel() for p in model.parameters()) == counts[width]
    assert len(model.state_dict()) == entries
    assert len(list(model.parameters())) == tensors


def test_lenet_has_the_published_names_and_shapes() -> None:
    shapes = {name: tuple(t.shape) for name, t in on_meta("lenet:width=16,input=1x28x28").state_dict().items()}
    assert shapes == {
        "conv1.weight": (32, 1, 5, 5),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 5, 5),
        "conv2.bias": (64,),
        "fc1.weight": (1024, 3136),
        "fc1.bias": (1024,),
        "fc2.weight": (10, 1024),
        "fc2.bias": (10,),
    }


BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_resnet_has_the_published_names() -> None:
    wanted = {"conv1.weight", "classifier.weight", "classifier.bias"} | {f"bn1.{key}" for key in BN}
    for layer in range(1, 5):
        for block in range(2):
            stem = f"layer{layer}.{block}"
            wanted |= {f"{stem}.conv1.weight", f"{stem}.conv2.weight"}
            wanted |= {f"{stem}.{bn}.{key}" for bn in ("bn1", "bn2") for key in BN}
        if layer > 1:
            wanted |= {f"layer{layer}.0.shortcut.0.weight"} | {f"layer{layer}.0.shortcut.1.{key}" for key in BN}
    assert set(on_meta("resnet18:width=8,input=3x32x32").state_dict()) == wanted


def test_vgg_has_the_published_names() -> None:
    wanted = {"classifier.weight", "classifier.bias"}
    for i in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40):
        wanted |= {f"feature_extractor.{i}.{key}" for key in ("weight", "bias")}
        wanted |= {f"feature_extractor.{i + 1}.{key}" for key in BN}
    assert set(on_meta("vgg16:width=8,input=3x32x32").state_dict()) == wanted


def test_lenet_computes_the_published_function() -> None:
    model, _ = build_model("lenet:width=2,input=1x28x28", seed=0)
    images = torch.rand(3, 1, 28, 28)
    w = model.state_dict()
    x = functional.conv2d(images, w["conv1.weight"], w["conv1.bias"], padding=2).relu()
    x = functional.max_pool2d(x, 2)
    x = functional.max_pool2d(functional.conv2d(x, w["conv2.weight"], w["conv2.bias"], padding=2).relu(), 2)
    x = (x.reshape(3, -1) @ w["fc1.weight"].T + w["fc1.bias"]).relu()
    torch.testing.assert_close(model(images), x @ w["fc2.weight"].T + w["fc2.bias"])


def batch_norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.batch_norm(
        x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"]
    )


def with_moved_statistics(spec: str, images: Tensor) -> nn.Module:
    model, _ = build_model(spec, seed=0)
    for _ in range(3):
        model(images)
    return model.eval()


def test_resnet_computes_the_published_function_with_its_4x4_pooling() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = with_moved_statistics("resnet18:width=1,input=3x32x32", images)
    w = model.state_dict()
    x = batch_norm(w, "bn1", functional.conv2d(images, w["conv1.weight"], padding=1)).relu()
    for layer in range(1, 5):
        for block in range(2):
            stem, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = functional.conv2d(x, w[f"{stem}.conv1.weight"], stride=stride, padding=1)
            y = batch_norm(w, f"{stem}.bn1", y).relu()
            y = batch_norm(w, f"{stem}.bn2", functional.conv2d(y, w[f"{stem}.conv2.weight"], padding=1))
            if stride == 2:
                short = functional.conv2d(x, w[f"{stem}.shortcut.0.weight"], stride=2)
                x = batch_norm(w, f"{stem}.shortcut.1", short)
            x = (x + y).relu()
    x = functional.avg_pool2d(x, 4).flatten(1)
    torch.testing.assert_close(model(images), x @ w["classifier.weight"].T + w["classifier.bias"])


def test_vgg_computes_the_published_function() -> None:
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = with_moved_statistics("vgg16:width=1,input=3x32x32", images)
    w = model.state_dict()
    x, pools_after = images, {3, 10, 20, 30, 40}
    for i in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40):
        name = f"feature_extractor.{i}"
        x = functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)
        x = batch_norm(w, f"feature_extractor.{i + 1}", x).relu()
        x = functional.max_pool2d(x, 2) if i in pools_after else x
    assert x.shape == (4, 32, 1, 1)
    torch.testing.assert_close(model(images), x.flatten(1) @ w["classifier.weight"].T + w["classifier.bias"])


def test_linear_model_without_bias_is_one_matrix() -> None:
    model, _ = build_model("linear:bias=false", input=(1, 4, 4), classes=3)
    (matrix,) = model.parameters()
    images = torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(model(images), images.flatten(1) @ matrix.T)


def test_mlp_names_its_layers_in_order() -> None:
    shapes = {name: tuple(t.shape) for name, t in on_meta("mlp:hidden=6x5,input=1x4x4").state_dict().items()}
    assert [shapes[f"fc{i}.weight"] for i in (1, 2, 3)] == [(6, 16), (5, 6), (10, 5)]


@pytest.mark.parametrize("name", ["lenet", "resnet18", "vgg16", "mlp", "linear"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 5, 7)])
def test_every_net_adapts_to_the_image(name: str, shape: tuple[int, int, int]) -> None:
    settings = ":width=1" if name in PUBLISHED else ""
    model, _ = build_model(name + settings, input=shape, classes=3)
    assert model(torch.rand(2, *shape)).shape == (2, 3)


ACTIVATED = [f"{spec},activation={name}" for spec in SMALL if spec != "linear" for name in ("relu", "softplus", "silu")]


@pytest.mark.parametrize("spec", ["linear", *ACTIVATED])
def test_second_derivatives_exist_and_are_symmetric(spec: str) -> None:
    shape = SMALL[spec.partition(",")[0]]
    model = build_model(spec, input=shape, seed=1)[0].double().eval()
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(6, *shape, generator=generator, dtype=torch.float64)
    labels = torch.arange(6)
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def directions() -> dict[str, Tensor]:
        return {n: torch.randn(w.shape, generator=generator, dtype=w.dtype) for n, w in weights.items()}

    def gradient(at: dict[str, Tensor], graph: bool) -> tuple[list[Tensor], list[Tensor]]:
        leaves = {name: w.clone().requires_grad_() for name, w in at.items()}
        loss = functional.cross_entropy(functional_call(model, leaves, (images,)), labels)
        inputs = list(leaves.values())
        return inputs, list(torch.autograd.grad(loss, inputs, create_graph=graph))

    def product(v: dict[str, Tensor]) -> list[Tensor]:
        inputs, grads = gradient(weights, True)
        return list(torch.autograd.grad(grads, inputs, grad_outputs=list(v.values()), materialize_grads=True))

    def dot(a: list[Tensor], b: list[Tensor]) -> float:
        return float(sum((x * y).sum() for x, y in zip(a, b, strict=True)))

    u, v = directions(), directions()
    hu, hv = product(u), product(v)
    scale = dot(hv, hv) ** 0.5
    assert scale > 0
    assert abs(dot(list(u.values()), hv) - dot(list(v.values()), hu)) < 1e-10 * max(scale, 1)
    if "relu" not in spec and not spec.startswith(("lenet", "vgg16")):
        # Smooth, without a maximum: the product is the derivative of the gradient. h balances h**2 against 1e-16 / h.
        h = 1e-5
        ahead = gradient({n: weights[n] + h * v[n] for n in weights}, False)[1]
        behind = gradient({n: weights[n] - h * v[n] for n in weights}, False)[1]
        difference = [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]
        error = [d - p for d, p in zip(difference, hv, strict=True)]
        assert dot(error, error) ** 0.5 < 1e-6 * scale
