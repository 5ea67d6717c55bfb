"""Other people's files: the published names and forms, wrappers, averages, normalisations, and what is told of each."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.arguments import check_alike
from landscape.checkpoint import load_model, read_checkpoint, rebuild, save_checkpoint
from landscape.errors import CheckpointError, UsageError
from landscape.models import build_model, normalisation_of
from landscape.published import claims_of
from landscape.results import read_result
from tests.commands.runner import landscape

MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])


def resnet(width: int = 1) -> dict[str, Tensor]:
    return dict(build_model(f"resnet18:width={width}", input=(3, 32, 32), seed=0)[0].state_dict())


def lenet() -> dict[str, Tensor]:
    return dict(build_model("lenet:width=2", input=(1, 28, 28), seed=0)[0].state_dict())


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def stored(folder: Path, value: Any, name: str = "a.pt") -> Path:
    torch.save(value, folder / name)
    return folder / name


def published_tree() -> dict[str, dict[str, Any]]:
    """Return the 81 names of the published checkpoints, and what each says."""
    found: dict[str, dict[str, Any]] = {}
    schedules = {"const": "constant", "plain": "constant", "linear": "linear", "cosine": "cosine"}

    def add(task: str, setting: str, file: str, **told: Any) -> None:
        for run in (1, 2, 3):
            word = schedules[setting.rpartition("_")[2]]
            periodic = {"periodic": True} if setting.startswith("periodic") else {}
            whole = {"norm": "linf", "eps_schedule": word, "run": run, **periodic, **told}
            found[f"models/{task}/{setting}/{run}/{file}"] = whole

    for setting, most in (("const", 0.8), ("linear", 0.8), ("cosine", 0.6)):
        more = {} if setting == "const" else {"eps_max": most}
        add("lenet_mnist", setting, f"lenet_16_eps0.4_max{most}_100.ckpt", eps=0.4, epoch=100, **more)
    for arch, constant in (("resnet", "plain"), ("vgg", "const")):
        for setting in ("const", "linear", "cosine"):
            named = arch == "resnet" and setting != "const"
            more = {"eps_max": 16 / 255} if named else {}
            word = "_max16" if named else ""
            cifar = {"eps": 8 / 255, "weight_decay": 1e-3}
            file = f"{arch}_8_eps8_wd1e-3{word}_200.ckpt"
            add(f"{arch}_cifar10", f"plain_{setting}", file, epoch=200, **cifar, **more)
        for setting in (constant, "linear", "cosine"):
            more = {} if setting == constant else {"eps_max": 16 / 255}
            word = "_max16" if more else ""
            for epoch in (100, 150, 200):
                file = f"{arch}_8_eps8_wd1e-3{word}_{epoch}.ckpt"
                add(f"{arch}_cifar10", f"periodic_{setting}", file, epoch=epoch, **cifar, **more)
    return found


def test_the_81_published_names_tell_how_each_net_was_trained() -> None:
    tree = published_tree()
    assert len(tree) == 81
    for name, told in tree.items():
        claims, data = claims_of(Path(name))
        assert claims == pytest.approx(told) if "eps" not in told else claims.keys() == told.keys()
        for word, value in told.items():
            assert claims[word] == (pytest.approx(value) if isinstance(value, float) else value), (name, word)
        assert data == ("mnist" if "lenet" in name else "cifar10")


@pytest.mark.parametrize(
    "name", ["lenet_16_eps0.4.ckpt", "net.ckpt", "resnet_8_eps8_wd1e-3_200.pt", "alexnet_1_eps8_9.ckpt"]
)
def test_another_name_tells_nothing(name: str) -> None:
    assert claims_of(Path(name)) == ({}, None)


@pytest.mark.parametrize(
    ("path", "spec", "built"),
    [
        ("lenet_mnist/cosine/1/lenet_16_eps0.4_max0.6_100.ckpt", "lenet:width=16", "1x28x28"),
        ("resnet_cifar10/plain_linear/2/resnet_8_eps8_wd1e-3_max16_200.ckpt", "resnet18:width=8", "3x32x32"),
        ("vgg_cifar10/periodic_const/3/vgg_8_eps8_wd1e-3_150.ckpt", "vgg16:width=8", "3x32x32"),
    ],
)
def test_a_published_file_loads_by_its_name_alone(tmp_path: Path, path: str, spec: str, built: str) -> None:
    shape = tuple(map(int, built.split("x")))
    state = build_model(spec, input=shape, seed=0)[0].state_dict()  # type: ignore[arg-type]  # three numbers
    file = tmp_path / "models" / path
    file.parent.mkdir(parents=True)
    torch.save(state, file, _use_new_zipfile_serialization=False)  # as torch wrote them in 2020
    found = read_checkpoint(file)
    net, resolved = rebuild(found)
    assert resolved == f"{spec},input={built},classes=10"
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert found.training["eps"] == pytest.approx(0.4 if "lenet" in path else 8 / 255)
    done = landscape("info", file)
    assert done.code == 0
    assert "by the file's name" in done.out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "lenet_16_eps0.4_max0.8_100.ckpt",
            "as a lenet of width 16 of Liu et al., and holds the weights of a lenet of",
        ),
        ("resnet_2_eps8_wd1e-3_200.ckpt", "as a resnet18 of width 2"),
    ],
)
def test_a_published_name_that_tells_of_another_net_is_refused(tmp_path: Path, name: str, told: str) -> None:
    torch.save(build_model("lenet:width=2", input=(1, 28, 28), seed=0)[0].state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(tmp_path / name)
    torch.save(build_model("lenet:width=2", input=(1, 28, 28), seed=0)[0].state_dict(), tmp_path / "mine.ckpt")
    assert read_checkpoint(tmp_path / "mine.ckpt").model == "lenet:width=2,classes=10"


@pytest.mark.real_data
def test_a_published_file_is_measured_by_its_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "lenet_2_eps0.4_max0.8_100.ckpt"
    torch.save(build_model("lenet:width=2", input=(1, 28, 28), seed=0)[0].state_dict(), path)
    words = ("--attacks", "clean,pgd2", "--n-examples", "8", "--no-adequacy", "--out", "e.h5")
    done = landscape("evaluate", path, *words)
    assert done.code == 0, done.err
    assert "linf eps 0.4, 8 of 10,000 test examples of mnist" in done.out
    attrs = read_result("e.h5", only=()).attrs
    assert (attrs["eps"], attrs["model"]) == (0.4, ["lenet:width=2,input=1x28x28,classes=10"])


def test_a_curve_of_the_published_form_is_refused_whole_and_read_at_one_end(tmp_path: Path) -> None:
    points = [build_model("resnet18:width=1", input=(3, 32, 32), seed=seed)[0] for seed in range(5)]
    state: dict[str, Tensor] = dict(points[0].named_buffers())
    for number, net in enumerate(points):
        state |= {f"{name}_{number}": value.detach() for name, value in net.named_parameters()}
    path = stored(tmp_path, state, "curve.ckpt")
    assert len(state) == 370
    with pytest.raises(UsageError, match="a curve of 5 control points .* --key _0, or --key _4"):
        read_checkpoint(path)
    net = load_model(path, key="_4")
    wanted = dict(points[4].named_parameters())
    assert all(torch.equal(value, wanted[name]) for name, value in net.named_parameters())
    with pytest.raises(UsageError, match="is no curve model, and has no control point '_0'"):
        read_checkpoint(stored(tmp_path, lenet()), key="_0")


@pytest.mark.parametrize(
    ("wrapped", "told"),
    [
        (lambda state: state, ""),
        (lambda state: {"epoch": 3, "net": {"weights": state}, "acc": 0.5}, "weights under 'net.weights'"),
        (lambda state: {"rmodel": prefixed("module.model.", state)}, "prefix 'module.model.' taken off"),
        (lambda state: {"last": prefixed("module.basic_net.", state), "best": state}, "weights under 'last'; the"),
        (lambda state: {"model_state_dict": {n: 2 * v for n, v in state.items()}, "unaveraged_model_state_dict": state},
         "weights under 'unaveraged_model_state_dict'; the file also holds model_state_dict"),
        (lambda state: {"state_dict": state, "model_ema": {n: 2 * v for n, v in state.items()}}, "holds model_ema"),
        (lambda state: {"n_averaged": torch.tensor(7), **prefixed("module.", state)}, "prefix 'module.'"),
        (lambda state: prefixed("module.module._orig_mod.", state), "prefix 'module.module._orig_mod.'"),
    ],
)  # fmt: skip
def test_the_state_dict_is_found_wherever_it_lies(tmp_path: Path, wrapped: Any, told: str) -> None:
    state = lenet()
    found = read_checkpoint(stored(tmp_path, wrapped(state)))
    assert told in "; ".join(found.notes)
    assert "lenet of width 2" in found.guess
    assert {name: value.tolist() for name, value in found.state_dict.items()} == {
        n: v.tolist() for n, v in state.items()
    }


def test_a_key_takes_the_average_and_a_wrong_one_lists_what_is_there(tmp_path: Path) -> None:
    path = stored(tmp_path, {"state_dict": lenet(), "state_dict_ema": {n: 2 * v for n, v in lenet().items()}})
    averaged = read_checkpoint(path, key="state_dict_ema")
    assert torch.equal(averaged.state_dict["fc2.bias"], 2 * lenet()["fc2.bias"])
    with pytest.raises(UsageError, match="no weights under 'ema'; it holds state_dict, state_dict_ema"):
        read_checkpoint(path, key="ema")
    net, spec = build_model("lenet:width=1", seed=0)
    own = save_checkpoint(tmp_path / "own.pt", net, model_spec=spec, data_spec="digits", training={})
    with pytest.raises(UsageError, match="landscape's own and holds one net; leave --key x out"):
        read_checkpoint(own, key="x")


NORMALISED = {
    "robustbench": lambda state: {"mu": MEAN.view(1, 3, 1, 1), "sigma": STD.view(1, 3, 1, 1), **state},
    "sequential": lambda state: {"0.mean": MEAN, "0.std": STD, **prefixed("1.", state)},
    "normalize": lambda state: {"normalize.mean": MEAN, "normalize.std": STD, **prefixed("model.", state)},
    "madry": lambda state: {
        "module.normalizer.new_mean": MEAN.view(3, 1, 1),
        "module.normalizer.new_std": STD.view(3, 1, 1),
        **prefixed("module.model.", state),
        "module.attacker.normalize.new_mean": MEAN.view(3, 1, 1),
        "module.attacker.normalize.new_std": STD.view(3, 1, 1),
        **prefixed("module.attacker.model.", state),
    },
}


@pytest.mark.parametrize("form", NORMALISED)
def test_a_normalisation_in_the_file_is_put_into_the_net(tmp_path: Path, form: str) -> None:
    state = resnet()
    found = read_checkpoint(stored(tmp_path, {"model": NORMALISED[form](state)}))
    assert any("normalisation found beside the net (mean 0.5, 0.4, 0.3; std 0.2" in note for note in found.notes)
    net = load_model(found)
    plain = build_model("resnet18:width=1", input=(3, 32, 32))[0].eval()
    plain.load_state_dict(state)
    images = torch.rand(2, 3, 32, 32)
    wanted = plain((images - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1))
    torch.testing.assert_close(net(images), wanted)
    assert list(net.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(copy.deepcopy(net).double()(images.double()).float(), wanted)  # as attacks take it
    with pytest.raises(UsageError, match="normalise images in different ways"):
        check_alike(net, plain, images)
    again = save_checkpoint(tmp_path / "b.pt", net, model_spec=found.model, data_spec=None, training={})
    torch.testing.assert_close(load_model(again, input=(3, 32, 32))(images), wanted)


def test_a_net_that_normalises_by_itself_takes_its_own_numbers(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom torch import nn\n"
        "class Normalise(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.register_buffer('mean', torch.zeros(1)), self.register_buffer('std', torch.ones(1))\n"
        "    def forward(self, x):\n        return (x - self.mean) / self.std\n"
        "def net():\n    return nn.Sequential(Normalise(), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))\n"
    )
    (tmp_path / "mine.py").write_text(code)
    state = {
        "0.mean": torch.tensor([0.5]),
        "0.std": torch.tensor([2.0]),
        "1.1.weight": torch.eye(2, 4),
        "1.1.bias": torch.zeros(2),
    }
    net = load_model(stored(tmp_path, {"net": prefixed("module.", state)}), model=f"{tmp_path / 'mine.py'}:net")
    assert normalisation_of(net) is None
    torch.testing.assert_close(net(torch.ones(1, 1, 2, 2)), torch.full((1, 2), 0.25))


def test_two_different_nets_under_two_prefixes_are_refused(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in lenet().items()}
    with pytest.raises(CheckpointError, match="two different nets"):
        read_checkpoint(stored(tmp_path, {**prefixed("model.", lenet()), **prefixed("attacker.model.", other)}))


def test_counters_may_be_missing_and_a_usual_name_of_the_last_layer_is_known(tmp_path: Path) -> None:
    state = {name.replace("classifier.", "linear."): value for name, value in resnet().items() if "tracked" not in name}
    net = load_model(stored(tmp_path, state))
    assert torch.equal(net.state_dict()["classifier.weight"], state["linear.weight"])


@pytest.mark.parametrize(
    "spec", ["lenet:width=3", "resnet18:width=1", "vgg16:width=1", "linear:bias=false", "mlp:hidden=5x4"]
)
def test_the_nets_of_ours_are_known_by_their_shapes_alone(tmp_path: Path, spec: str) -> None:
    shape = (3, 32, 32) if "18" in spec or "16" in spec else (1, 28, 28)
    net, resolved = build_model(spec, input=shape, classes=7, seed=0)
    assert rebuild(stored(tmp_path, net.state_dict()))[1] == resolved


def test_a_net_of_others_is_not_taken_for_one_of_ours(tmp_path: Path) -> None:
    state = resnet()
    state["conv1.weight"] = torch.zeros(4, 3, 7, 7)  # the stem of ImageNet's
    found = read_checkpoint(stored(tmp_path, state))
    assert found.model is None
    with pytest.raises(UsageError, match="holds weights alone; name their net"):
        load_model(found)
    assert read_checkpoint(stored(tmp_path, nn.Linear(3, 2).state_dict())).model is None
