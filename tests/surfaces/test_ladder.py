import math

import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.borrow import Network
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.surfaces import Ladder
from tests.problems import assert_untouched, examples, lenet, state_of

RADII = (0.0, 0.05, 0.1)


def ladder(
    net: nn.Module,
    *,
    radii: tuple[float, ...] = RADII,
    n: int = 12,
    batch_size: int = 5,
    moves: bool = True,
    **attack: int,
) -> Ladder:
    objective = Objective(net, *examples(n), batch_size=batch_size)
    return Ladder(objective, [PGD(LinfBall(eps), **{"steps": 3, **attack}) for eps in radii], moves=moves)


def elsewhere(made: Ladder, *, seed: int = 1, scale: float = 0.05) -> Network:
    w = made.objective.w0
    generator = torch.Generator().manual_seed(seed)
    return made.objective.network(w + scale * torch.randn(w.shape, generator=generator, dtype=w.dtype))


def frozen(made: Ladder) -> Ladder:
    made.freeze(made.objective.network())
    return made


@pytest.mark.parametrize("seed", range(4))
def test_the_pool_makes_the_loss_grow_with_eps_and_never_fall_below_the_frozen_one(seed: int) -> None:
    made = frozen(ladder(lenet()))
    still = Ladder(made.objective, made.attacks, moves=False)
    still.frozen = made.frozen
    point = elsewhere(made, seed=seed)
    found, held = made.evaluate(point), still.evaluate(point)
    assert (found.losses.diff(dim=0) >= 0).all()  # per example, not in the mean alone
    assert (found.losses >= held.losses).all()
    assert (found.wrong[1:] >= found.wrong[:-1]).all()


def test_a_ladder_is_nowhere_weaker_than_its_radius_alone() -> None:
    whole = ladder(lenet())
    for number, eps in enumerate(RADII[1:], 1):
        alone = ladder(lenet(), radii=(eps,))
        for seed in range(3):
            point = elsewhere(whole, seed=seed)
            found = whole.evaluate(point).losses[number]
            assert (found >= alone.evaluate(point).losses[0]).all()


def test_at_the_origin_the_loss_is_that_of_the_attack_s_best_iterate_or_more() -> None:
    net = lenet()
    made = frozen(ladder(net, radii=(0.1,)))
    plain = Objective(net, *examples(12), attack=PGD(LinfBall(0.1), steps=3), batch_size=12)
    assert (made.evaluate(made.objective.network()).losses[0] >= plain.losses().double() - 1e-12).all()


def test_a_single_radius_without_pool_is_projected_gradient_ascent() -> None:
    net = lenet()
    made = ladder(net, radii=(0.1,))
    plain = Objective(net, *examples(12), attack=PGD(LinfBall(0.1), steps=3), batch_size=12)
    clean = Objective(net, *examples(12)).losses()
    found = made.evaluate(made.objective.network()).losses[0]
    torch.testing.assert_close(found, torch.maximum(plain.losses(), clean).double())


def test_wrong_means_any_image_tried() -> None:
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.net(x)
            seen.append(outputs.detach().argmax(1))
            return outputs

    made = ladder(Watched(lenet(seed=4)), radii=(0.3,), n=5)
    found = made.evaluate(made.objective.network())
    labels = made.objective.labels
    assert torch.equal(found.wrong[0], torch.stack([tried != labels for tried in seen]).any(dim=0))
    assert found.wrong.any()
    assert not found.wrong.all()  # otherwise the test would see no difference


@pytest.mark.parametrize("batch_size", [1, 4, 12])
def test_the_batch_changes_nothing(batch_size: int) -> None:
    one, other = (frozen(ladder(lenet(), batch_size=size, restarts=2)) for size in (5, batch_size))
    a, b = (made.evaluate(elsewhere(made)) for made in (one, other))
    torch.testing.assert_close(a.losses, b.losses, rtol=1e-9, atol=1e-12)  # the order of sums alone
    assert torch.equal(a.wrong, b.wrong)


def test_neighbours_start_their_attacks_alike() -> None:
    made = ladder(lenet(), radii=(0.1,))
    once, again = (made.evaluate(elsewhere(made)) for _ in range(2))
    assert torch.equal(once.losses, again.losses)


def test_a_loss_that_is_no_number_stays_none() -> None:
    made = ladder(lenet(), radii=(0.0, 0.1))
    w = made.objective.w0
    found = made.evaluate(made.objective.network(w * torch.nan))
    assert found.means.isnan().all()
    assert found.wrong.all()
    large = made.evaluate(made.objective.network(w * 1e200))
    assert not torch.isfinite(large.means).any()


def test_beyond_the_cap_no_attack_is_run() -> None:
    made = frozen(ladder(lenet()))
    point = elsewhere(made)
    clean = made.evaluate(point).losses[0]
    found = made.evaluate(point, cap=float(clean.mean()) / 2)
    assert found.skipped
    assert found.losses[1:].isnan().all()
    torch.testing.assert_close(found.losses[0], clean)
    assert not made.evaluate(point, cap=float(clean.mean()) * 2).skipped


def test_where_no_gradient_reaches_the_pixels_the_share_says_so() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.head((x.flatten(1) > 0.5).to(x.dtype))
            return outputs

    made = ladder(Steps())
    found = made.evaluate(made.objective.network())
    assert found.flat[0].isnan().all()  # no attack at eps 0
    assert (found.flat[1:] == 1).all()
    smooth = ladder(lenet("softplus"))
    assert (smooth.evaluate(smooth.objective.network()).flat[1:] == 0).all()


def test_standard_errors_are_over_examples() -> None:
    made = ladder(lenet(), radii=(0.0,))
    found = made.evaluate(made.objective.network())
    assert float(found.errors) == pytest.approx(float(found.losses[0].std()) / math.sqrt(12))
    single = ladder(lenet(), radii=(0.0,), n=1)
    assert math.isnan(float(single.evaluate(single.objective.network()).errors))


def test_the_net_is_left_as_it_was() -> None:
    net = lenet().train()
    before = state_of(net)
    made = frozen(ladder(net))
    made.evaluate(elsewhere(made))
    assert_untouched(net, before)
    assert not made.objective.images.requires_grad


@pytest.mark.parametrize("radii", [(), (0.1, 0.1), (0.1, 0.0)])
def test_radii_that_do_not_grow_are_refused(radii: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="do not grow; give each once"):
        ladder(lenet(), radii=radii)
