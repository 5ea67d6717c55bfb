import pytest
import torch
from torch import nn

from landscape.attacks import PGD, LinfBall
from landscape.errors import UsageError
from landscape.geometry import Statistics, batchnorm_policy
from landscape.objective import Objective
from tests.problems import assert_untouched, examples, lenet, resnet, state_of


def objective(net: nn.Module, n: int = 24, *, eps: float = 0.0, batch_size: int = 8) -> Objective:
    attack = PGD(LinfBall(eps), steps=3) if eps else None
    return Objective(net, *examples(n), attack=attack, batch_size=batch_size)


def weights_near(net: nn.Module, *, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=generator).to(value)
        for name, value in net.named_parameters()
    }


def test_recalibrated_statistics_are_the_mean_over_batches_of_each_batch_s_own() -> None:
    net = resnet()
    found = Statistics(objective(net), "clean-recal").at(weights_near(net))
    other = resnet()
    other.load_state_dict({**other.state_dict(), **weights_near(net)})
    images, _ = examples(24)
    # The first layer's input is known, so its statistics can be written down.
    batches = other.conv1(images).detach().split(8)
    torch.testing.assert_close(found["bn1.running_mean"], torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    variances = [b.transpose(0, 1).flatten(1).var(dim=1) for b in batches]
    torch.testing.assert_close(found["bn1.running_var"], torch.stack(variances).mean(0))


def test_deeper_layers_see_what_training_would_show_them() -> None:
    net = resnet()
    found = Statistics(objective(net, batch_size=24), "clean-recal").at(dict(net.named_parameters()))
    other = resnet().train()  # one batch, momentum 1: the running statistics are the batch's
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    other(examples(24)[0])
    for name, buffer in other.named_buffers():
        if "running" in name:
            torch.testing.assert_close(found[name], buffer)


def test_adversarial_statistics_are_those_of_the_batches_attacked_at_these_weights() -> None:
    net = resnet()
    weights = weights_near(net)
    source = objective(net, eps=0.2)
    found = Statistics(source, "adv-recal").at(weights)
    clean = Statistics(source, "clean-recal").at(weights)
    other = resnet().eval()
    other.load_state_dict({**other.state_dict(), **weights, **clean})
    attacked = Objective(other, *examples(24), attack=PGD(LinfBall(0.2), steps=3), batch_size=8).freeze()
    again = Statistics(Objective(other, attacked.images, attacked.labels, batch_size=8), "clean-recal")
    for name, value in again.at(weights).items():
        torch.testing.assert_close(found[name], value)
    assert not torch.allclose(found["bn1.running_mean"], clean["bn1.running_mean"])


def test_frozen_statistics_and_nets_without_batchnorm_need_no_stand_in() -> None:
    assert Statistics(objective(resnet())).at({}) == {}
    plain = Statistics(objective(lenet()), "clean-recal")
    assert (plain.policy, plain.at({})) == ("none", {})
    assert batchnorm_policy(resnet()) == "frozen"


def test_a_short_last_batch_counts_for_nothing_rather_than_for_as_much_as_a_whole_one() -> None:
    net = resnet()
    whole, ragged = objective(net, 16), objective(net, 17)
    for name, value in Statistics(whole, "clean-recal").at(weights_near(net)).items():
        assert torch.equal(value, Statistics(ragged, "clean-recal").at(weights_near(net))[name])


@pytest.mark.parametrize("training", [True, False])
def test_the_net_is_left_as_it_was_whatever_happens(training: bool) -> None:
    net = resnet().train(training)
    before = state_of(net)
    Statistics(objective(net, eps=0.1), "adv-recal").at(weights_near(net))
    assert_untouched(net, before)
    momenta = [module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with pytest.raises(RuntimeError):
        Statistics(objective(net), "clean-recal").at({"conv1.weight": torch.ones(2, 2, dtype=torch.float64)})
    assert_untouched(net, before)
    assert momenta == [module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_policy_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="BatchNorm policy 'recal' is unknown; did you mean"):
        Statistics(objective(resnet()), "recal")
    with pytest.raises(UsageError, match="needs an adversary, and eps is 0; give clean-recal"):
        Statistics(objective(resnet()), "adv-recal")
    with pytest.raises(UsageError, match="needs two examples or more"):
        Statistics(objective(resnet(), 1), "clean-recal")
