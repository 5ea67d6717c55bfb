"""Specs of nets: what they resolve to, what is refused and with which words, and where the first weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.models import ARCHITECTURES, build_model, model_shape


@pytest.mark.parametrize(
    ("spec", "resolved"),
    [
        ("lenet:width=4", "lenet:width=4,input=1x8x8,classes=10"),
        ("lenet", "lenet:width=16,input=1x8x8,classes=10"),
        ("lenet:classes=3,input=1x28x28,width=02", "lenet:width=2,input=1x28x28,classes=3"),
        ("resnet18:width=1,activation=relu", "resnet18:width=1,input=1x8x8,classes=10"),
        ("vgg16:width=1,activation=silu", "vgg16:width=1,activation=silu,input=1x8x8,classes=10"),
        ("linear", "linear:bias=true,input=1x8x8,classes=10"),
        ("linear:bias=False", "linear:bias=false,input=1x8x8,classes=10"),
        ("mlp:hidden=8", "mlp:hidden=8,input=1x8x8,classes=10"),
        (
            "mlp:activation=softplus,beta=2.5",
            "mlp:hidden=64x64,activation=softplus,beta=2.5,input=1x8x8,classes=10",
        ),
        ("mlp:activation=softplus,beta=10", "mlp:hidden=64x64,activation=softplus,beta=10,input=1x8x8,classes=10"),
    ],
)
def test_specs_resolve_and_resolved_specs_stay(spec: str, resolved: str) -> None:
    assert build_model(spec)[1] == resolved
    assert build_model(resolved, input=(3, 5, 5), classes=7)[1] == resolved
    assert model_shape(resolved) is not None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("lennet", r"'lennet' is no net; did you mean lenet"),
        ("transformer", "there are lenet, linear, mlp, resnet18, vgg16"),
        ("lenet:widht=4", r"'widht' is no setting of lenet; did you mean width\?"),
        ("linear:activation=silu", "'activation' is no setting of linear"),
        ("lenet:width=0", "whole number from 1"),
        ("lenet:width=-4", "whole number from 1"),
        ("lenet:width=4.5", "whole number from 1"),
        ("lenet:width=99999999", "whole number from 1"),
        ("lenet:width=9999999999999999999999", "whole number from 1"),
        ("lenet:4", "write lenet:key=value"),
        ("lenet:input=28x28", "write CxHxW"),
        ("lenet:input=1x3x28", "images of 4x4 or more, got 3x28"),
        ("mlp:hidden=", "key=value"),
        ("mlp:hidden=8x", "whole number from 1"),
        ("mlp:activation=gelu", "'gelu' is no activation; "),
        ("mlp:activation=sofplus", r"did you mean softplus"),
        ("mlp:beta=2", "goes with softplus"),
        ("mlp:activation=softplus,beta=0", "not positive"),
        ("mlp:activation=softplus,beta=soft", "no number"),
        ("linear:bias=1", "neither true nor false"),
        ("net.py", "write net.py:callable"),
        ("net.py:width=4", "write net.py:callable"),
        ("", "is no spec"),
    ],
)
def test_bad_specs_are_wrong_usage_and_say_what_to_type(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build_model(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_seeded_weights_are_a_function_of_the_seed_alone_and_leave_the_global_generator(name: str) -> None:
    spec = f"{name}:width=1" if "width" in ARCHITECTURES[name].settings else name
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model(spec, seed=3)[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again, other = build_model(spec, seed=3)[0].state_dict(), build_model(spec, seed=4)[0].state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_models_come_in_train_mode() -> None:
    assert build_model("resnet18:width=1")[0].training


USER_NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()

def number():
    return 3

def needs(width):
    return nn.Linear(width, 2)

def fails():
    raise ValueError("no weights today")
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(USER_NET)
    return path


def test_a_users_net_is_built_from_a_file(user_file: Path) -> None:
    model, resolved = build_model(f"{user_file}:net", seed=1)
    assert isinstance(model, nn.Module)
    assert model.training
    assert resolved == f"{user_file}:net"
    assert model_shape(resolved) is None
    again = build_model(f"{user_file}:net", seed=1)[0]
    assert torch.equal(next(model.parameters()), next(again.parameters()))


def test_a_users_net_is_built_from_a_module() -> None:
    assert isinstance(build_model("torch.nn:Identity")[0], nn.Identity)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("number", "gave int, wanted a torch.nn.Module"),
        ("needs", "failed when called without arguments: TypeError"),
        ("fails", "failed when called without arguments: ValueError: no weights today"),
        ("nett", r"did you mean net"),
    ],
)
def test_a_users_callable_that_gives_no_net_is_wrong_usage(user_file: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_model(f"{user_file}:{name}")
