"""Checkpoints: saved whole and the same every time, read back exactly, other people's weights loaded strictly."""

from __future__ import annotations

import errno
import math
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape import files
from landscape.checkpoint import Checkpoint, load_model, read_checkpoint, rebuild, save_checkpoint
from landscape.errors import CheckpointError, LandscapeError, UsageError
from landscape.models import build_model

SPEC = "resnet18:width=1,input=1x8x8,classes=10"
TRAINING: dict[str, Any] = {
    "eps": 0.1,
    "optimizer": "adam",
    "seed": 3,
    "history": [{"epoch": 0, "loss": 2.3}, {"epoch": 1, "loss": math.nan}],
    "final": {"clean": {"train": {"error": 0.01}}},
}


def net(spec: str = SPEC, seed: int = 0) -> nn.Module:
    model, _ = build_model(spec, seed=seed)
    model(
        torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    )  # move the batch norm statistics off their start
    return model


def save(path: Path, model: nn.Module | None = None, spec: str | None = SPEC, **settings: Any) -> Path:
    model = net() if model is None else model
    return save_checkpoint(path, model, model_spec=spec, data_spec="digits", training=TRAINING, **settings)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a)


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors", "net"])
def test_what_is_saved_is_read_back(tmp_path: Path, name: str) -> None:
    model = net()
    path = save(tmp_path / name, model)
    found = read_checkpoint(path)
    assert sorted(found.state_dict) == sorted(model.state_dict())
    assert all(torch.equal(found.state_dict[key], value) for key, value in model.state_dict().items())
    assert (found.model, found.data, found.path, found.name) == (SPEC, "digits", path, "net")
    assert found.sha256 == files.sha256_of(path)
    assert repr(found.training) == repr(TRAINING)  # repr: NaN is not equal to itself
    assert set(found.versions) == {"landscape", "torch", "python"}
    rebuilt, resolved = rebuild(found)
    assert resolved == SPEC
    assert not rebuilt.training
    assert all(p.requires_grad for p in rebuilt.parameters())
    assert same(rebuilt.state_dict(), model.state_dict())
    images = torch.rand(3, 1, 8, 8)
    assert torch.equal(rebuilt(images), model.eval()(images))


def test_the_file_is_plain_data_for_torch_load(tmp_path: Path) -> None:
    found = torch.load(save(tmp_path / "net.pt"), weights_only=True)
    assert list(found) == ["format", "state_dict", "model", "data", "training", "versions"]
    assert found["format"] == "landscape-checkpoint/1"
    assert type(found["state_dict"]) is dict


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_the_same_content_gives_the_same_bytes_under_any_name(tmp_path: Path, suffix: str) -> None:
    contents = set()
    for i in range(4):
        model = net()
        if i == 1:  # another memory layout, the same numbers
            for p in model.parameters():
                p.data = p.data.contiguous(memory_format=torch.channels_last) if p.dim() == 4 else p.data
        if i == 2:  # parameters as views of a larger storage
            for p in model.parameters():
                p.data = torch.cat([p.data.flatten(), p.data.flatten()])[: p.numel()].view_as(p)
        word = "".join(["ad", "am"]) if i == 3 else "adam"  # an equal string that is another object
        training = {"optimizer": word, "again": "adam", "lr": 1e-3}
        path = tmp_path / f"name{i}.{suffix}"
        save_checkpoint(path, model, model_spec=SPEC, data_spec="digits", training=training)
        contents.add(path.read_bytes())
    loaded = load_model(tmp_path / f"name0.{suffix}")
    path = tmp_path / f"loaded.{suffix}"
    save_checkpoint(path, loaded, model_spec=SPEC, data_spec="digits", training=training)
    contents.add(path.read_bytes())
    assert len(contents) == 1


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt")
    before = torch.get_rng_state()
    load_model(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt")
    content = path.read_bytes()
    with pytest.raises(LandscapeError, match="exists and is kept; give --overwrite"):
        save(path, net(seed=1))
    assert path.read_bytes() == content
    save(path, net(seed=1), overwrite=True)
    assert path.read_bytes() != content
    assert os.listdir(tmp_path) == ["net.pt"]


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_a_failing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    path = save(tmp_path / "net.pt")
    content = path.read_bytes()

    def fail(self: Path, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(LandscapeError, match=words):
        save(path, net(seed=1), overwrite=True)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["net.pt"]


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "net.pt")

    def fail(self: Path, *args: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
        read_checkpoint(path)


def test_settings_that_are_not_plain_python_are_refused(tmp_path: Path) -> None:
    for value in (torch.ones(2), {1, 2}, Path("x")):
        with pytest.raises(CheckpointError, match="not plain Python"):
            save_checkpoint(tmp_path / "a.pt", net(), model_spec=SPEC, data_spec=None, training={"lr": value})
    assert not os.listdir(tmp_path)


def official(width: int, seed: int = 0) -> OrderedDict[str, Tensor]:
    """Make a bare state dict in the published form of the MNIST LeNet, from its shapes alone."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "conv1": (2 * width, 1, 5, 5),
        "conv2": (4 * width, 2 * width, 5, 5),
        "fc1": (64 * width, 49 * 4 * width),
        "fc2": (10, 64 * width),
    }
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    return state


def test_an_official_state_dict_loads_strictly(tmp_path: Path) -> None:
    state = official(16)
    torch.save(state, tmp_path / "lenet_16_eps0.4_max0.8_100.ckpt")
    found = read_checkpoint(tmp_path / "lenet_16_eps0.4_max0.8_100.ckpt")
    assert (found.model, found.data, found.versions) == ("lenet:width=16,classes=10", "mnist", {})
    model, resolved = rebuild(found)
    assert resolved == "lenet:width=16,input=1x28x28,classes=10"
    assert sum(p.numel() for p in model.parameters()) == 3_274_634
    assert same(model.state_dict(), dict(state))


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_official_residual_and_vgg_state_dicts_load_strictly(tmp_path: Path, name: str) -> None:
    state = build_model(f"{name}:width=2", input=(3, 32, 32), seed=0)[0].state_dict()
    torch.save(state, tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)  # as torch wrote them in 2020
    assert same(load_model(tmp_path / "a.ckpt", model=f"{name}:width=2").state_dict(), dict(state))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_and_prefixed_state_dicts_load(tmp_path: Path, key: str, prefix: str) -> None:
    state = official(1)
    wrapped = {prefix + name: value for name, value in state.items()}
    torch.save({"epoch": 7, key: wrapped, "optimizer": {"lr": 0.1}}, tmp_path / "a.pt")
    assert same(read_checkpoint(tmp_path / "a.pt").state_dict, dict(state))


def test_a_prefix_in_the_middle_or_on_some_keys_stays(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(1), "b.module.c": torch.ones(1)}
    torch.save(state, tmp_path / "a.pt")
    assert list(read_checkpoint(tmp_path / "a.pt").state_dict) == ["module.a", "b.module.c"]
    torch.save({"module.b.module.c": torch.ones(1)}, tmp_path / "b.pt")
    assert list(read_checkpoint(tmp_path / "b.pt").state_dict) == ["b.module.c"]


def test_bare_safetensors_load(tmp_path: Path) -> None:
    import safetensors.torch

    safetensors.torch.save_file(dict(official(1)), tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert found.model == "lenet:width=1,classes=10"
    assert load_model(found)(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_another_architecture_is_told_apart_in_full(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt")
    with pytest.raises(CheckpointError) as caught:
        load_model(path, model="lenet:width=1")
    message = str(caught.value)
    assert "net.pt does not fit lenet:width=1,input=1x8x8,classes=10: " in message
    assert "7 missing (conv1.bias, conv2.weight, conv2.bias, ...)" in message
    assert "121 unexpected (bn1.weight, bn1.bias, bn1.running_mean, ...)" in message
    assert "1 mis-shaped (conv1.weight 4x1x3x3 instead of 2x1x5x5)" in message
    assert "\n" not in message


def test_another_width_lists_the_shapes(tmp_path: Path) -> None:
    torch.save(official(1), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r": 7 mis-shaped \(conv1.weight 2x1x5x5 instead of 4x1x5x5, "):
        load_model(tmp_path / "a.pt", model="lenet:width=2")
    with pytest.raises(CheckpointError, match=r"1 mis-shaped \(fc1.weight 64x196 instead of 64x16\)"):
        load_model(tmp_path / "a.pt", model="lenet:width=1", input=(1, 8, 8))
    with pytest.raises(UsageError, match="is no net"):
        load_model(tmp_path / "a.pt", model="lennet")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float, suffix: str) -> None:
    model = net()
    with torch.no_grad():
        dict(model.named_parameters())["layer2.0.conv1.weight"].view(-1)[3] = value
    path = save(tmp_path / f"a.{suffix}", model)
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in layer2\.0\.conv1\.weight; "):
        read_checkpoint(path)


def test_double_stays_double_and_half_becomes_single(tmp_path: Path) -> None:
    model = net("mlp:hidden=4")
    spec = "mlp:hidden=4,input=1x8x8,classes=10"
    double = load_model(save(tmp_path / "double.pt", model.double(), spec))
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    assert same(double.state_dict(), model.state_dict())
    for dtype in (torch.float16, torch.bfloat16):
        path = save(tmp_path / f"{dtype}.pt", model.to(dtype), spec)
        assert {p.dtype for p in load_model(path).parameters()} == {torch.float32}


def test_a_frozen_part_of_another_type_stays(tmp_path: Path) -> None:
    code = (
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Linear(4, 4).bfloat16().requires_grad_(False), nn.Linear(4, 3))\n"
        "def lazy():\n    return nn.LazyLinear(3)\n"
    )
    (tmp_path / "mine.py").write_text(code)
    model = nn.Sequential(nn.Linear(4, 4).bfloat16(), nn.Linear(4, 3))
    torch.save(model.state_dict(), tmp_path / "net.pt")
    loaded = load_model(tmp_path / "net.pt", model=f"{tmp_path / 'mine.py'}:net")
    assert [p.dtype for p in loaded.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2
    with pytest.raises(UsageError, match="has no shape yet; call it once on an image"):
        load_model(tmp_path / "net.pt", model=f"{tmp_path / 'mine.py'}:lazy")


USER_NET = "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"


def test_code_that_a_file_names_runs_only_when_the_user_names_it(tmp_path: Path) -> None:
    spec = f"{tmp_path / 'mine.py'}:net"
    (tmp_path / "mine.py").write_text(f"{USER_NET}import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    path = save(tmp_path / "a.pt", model, spec)
    with pytest.raises(
        UsageError, match=r"names code for its net, run only if you say so: give --model .*mine\.py:net"
    ):
        load_model(path)
    assert not (tmp_path / "ran").exists()
    rebuilt, resolved = rebuild(path, model=spec)
    assert resolved == spec
    assert same(rebuilt.state_dict(), dict(model.state_dict()))


@pytest.mark.parametrize("spec", ["lennet:width=1", "lenet:width=1e9", ":", "lenet:input=x,classes=10"])
def test_a_file_that_names_an_impossible_net_is_refused(tmp_path: Path, spec: str) -> None:
    path = save(tmp_path / "a.pt", spec=spec)
    with pytest.raises(CheckpointError, match="names a net that cannot be built"):
        load_model(path)


def test_a_file_that_names_a_giant_net_costs_no_memory(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", spec="lenet:width=60000,input=1x4000x4000,classes=10")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model(path)


def test_a_read_checkpoint_is_not_read_again(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt")
    found = read_checkpoint(path)
    path.unlink()
    assert isinstance(found, Checkpoint)
    assert load_model(found)(torch.rand(1, 1, 8, 8)).shape == (1, 10)
