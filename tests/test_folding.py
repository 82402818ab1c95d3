"""Batch norms folded into convolutions: the same numbers, and nothing folded that something else looks at."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdissect.folding import folded, small_image, tensors_in
from mdissect.models.efficientnet import VARIANTS, PaddedConv2d, build_tower


def trained(network: nn.Module) -> nn.Module:
    """A network in eval mode whose batch norms are not those of a new one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for part in network.modules():
            if getattr(part, "running_mean", None) is not None:
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
                if part.weight is not None:
                    part.weight.uniform_(0.5, 1.5)
                    part.bias.normal_(0, 0.2)
    return network.eval()


def show(network):
    return network(small_image(3, (32, 24), torch.device("cpu")))


def n_norms(network) -> int:
    return sum(hasattr(part, "running_mean") for part in network.modules())


def block(n=4, **options):
    return nn.Sequential(nn.Conv2d(3, n, 3, padding=1, **options), nn.BatchNorm2d(n), nn.ReLU())


class Skipping(nn.Module):
    """The convolution's own output goes on beside the norm's."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) + x


class InPlace(Skipping):
    def forward(self, x):
        return self.norm(self.conv(x).relu_())


class Twice(Skipping):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.norm(self.conv(2 * x))


class Returning(Skipping):
    def forward(self, x):
        x = self.conv(x)
        return {"before": x, "after": self.norm(x)}


class Scaled(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight * 2, self.bias)


class Pretraining(Skipping):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, x):
        return self.norm(self.conv(x))


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Shared(Skipping):
    """Two convolutions of one weight."""

    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(3, 4, 3)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return self.norm(self.conv(x)) + self.other(x)


@pytest.mark.parametrize(
    "network",
    [
        block(),
        block(bias=False),
        block(groups=1, stride=2, padding_mode="reflect"),
        nn.Sequential(PaddedConv2d(nn.Conv2d(3, 4, 3, stride=2), 0, 1), nn.BatchNorm2d(4, eps=1e-2)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)),
        nn.Sequential(block(), nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4)),
    ],
)
def test_norms_are_folded_and_the_network_stays(network):
    trained(network)
    before, expected = deepcopy(network.state_dict()), show(network)
    folding = folded(network, show)
    assert n_norms(network) > n_norms(folding) == 0
    torch.testing.assert_close(show(folding), expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert not any(part.training for part in folding.modules())


def test_what_did_not_change_is_shared():
    network = trained(nn.Sequential(block(), nn.Flatten(), nn.Linear(4 * 32 * 24, 2)))
    folding = folded(network, show)
    assert folding[2].weight is network[2].weight
    assert folding[0][0].weight is not network[0][0].weight


@pytest.mark.parametrize(
    "network",
    [
        Skipping(),
        InPlace(),
        Twice(),
        Returning(),
        Pretraining(),
        nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
        nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)),
        Shared(),
        block().half(),
        block().double(),
        nn.Sequential(block(), nn.Flatten(), nn.Linear(7, 2)),
        nn.Linear(2, 2),
    ],
    ids=lambda network: type(network).__name__,
)
def test_what_cannot_be_folded_is_left(network):
    assert folded(trained(network), show) is None


@pytest.mark.parametrize("layers", [["0"], ["1"], ["0", "1", "2"]])
def test_recorded_layers_keep_their_norm(layers):
    assert folded(trained(block()), show, layers) is None


def test_a_norm_behind_the_end_of_a_recorded_part_is_left():
    network = trained(
        nn.Sequential(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    )
    folding = folded(network, show, ["0"])
    assert [type(part).__name__ for part in folding] == ["Sequential", "BatchNorm2d", "Conv2d", "Identity"]


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"])
@pytest.mark.parametrize("part", [0, 1])
def test_what_has_a_hook_is_left_and_others_are_folded(hook, part):
    network = trained(nn.Sequential(*block(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    getattr(network[part], hook)(lambda *_: None)
    folding = folded(network, show)
    assert isinstance(folding[1], nn.BatchNorm2d)
    assert isinstance(folding[4], nn.Identity)


def test_hooks_see_the_same_outputs_in_the_copy():
    network, seen = trained(nn.Sequential(block(), nn.Conv2d(4, 2, 3))), []
    network[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    show(network)
    folding = folded(network, show)
    del seen[1:]
    show(folding)
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-5, atol=1e-6)


def test_a_network_in_training_stays_in_training():
    network = trained(block()).train()
    mean = network[1].running_mean.clone()
    assert folded(network, show) is not None
    assert network.training
    assert torch.equal(network[1].running_mean, mean)


def test_random_numbers_are_not_used_up():
    network = trained(nn.Sequential(block(), Noisy()))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    folded(network, show)
    assert torch.equal(torch.rand(1), expected)


def test_a_norm_that_magnifies_rounding_is_left():
    network = trained(block())
    with torch.no_grad():
        network[0].bias.fill_(1e4)
        network[1].running_mean.fill_(1e4)
        network[1].running_var.fill_(1e-6)
    assert folded(network, show) is None


@pytest.mark.parametrize("variant", ["b2"])
def test_all_norms_of_mammo_clip_are_folded(variant):
    tower = trained(build_tower(VARIANTS[variant]))
    layers = list(VARIANTS[variant].default_layers)
    folding = folded(tower, lambda network: network(small_image(3, (64, 64), torch.device("cpu"))), layers)
    assert n_norms(tower) > 60
    assert n_norms(folding) == 0


def test_tensors_in_any_nesting():
    one, two = torch.zeros(1), torch.ones(1)
    assert list(tensors_in({"a": [one, (two, 3, "x")], "b": None})) == [one, two]
