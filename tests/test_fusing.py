"""Convolutions that do what stands around them: the same numbers, and nothing moved that something else looks at."""

from copy import deepcopy

import pytest
import torch
from test_folding import show, trained
from torch import nn

from mdissect.folding import small_image
from mdissect.fusing import Convolution, Gate, fused, quick
from mdissect.hooks import record
from mdissect.models.efficientnet import VARIANTS, PaddedConv2d, build_tower

CPU = torch.device("cpu")


class Squeeze(nn.Module):
    """Squeeze-and-excite, as timm has it."""

    def __init__(self, n=6):
        super().__init__()
        self.down, self.act, self.up = nn.Conv2d(n, 2, 1), nn.SiLU(inplace=True), nn.Conv2d(2, n, 1)

    def forward(self, x):
        return x * self.up(self.act(self.down(x.mean((2, 3), keepdim=True)))).sigmoid()


class Reversed(Squeeze):
    """As torchvision has it."""

    def __init__(self, n=6):
        super().__init__(n)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return self.up(self.act(self.down(self.pool(x)))).sigmoid() * x


def block(squeeze=Squeeze, activation=nn.SiLU, **options):
    """A padded convolution, depthwise, squeeze-and-excite, and 1 x 1 at the end."""
    stem = PaddedConv2d(nn.Conv2d(3, 6, 3, stride=2), 0, 1)
    return nn.Sequential(
        stem,
        activation(**options),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        activation(**options),
        squeeze(),
        nn.Conv2d(6, 4, 1),
    )


def n_fused(network):
    """Activations that moved, and products."""
    inside = [part._conv_forward for part in network.modules() if isinstance(part, nn.Conv2d)]
    inside = [one for one in inside if isinstance(one, Convolution)]
    return sum(one.activation != "none" for one in inside), sum(isinstance(part, Gate) for part in network.modules())


def images(n=1, size=(40, 33)):
    made = torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(1))
    return made.contiguous(memory_format=torch.channels_last)


def near(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("n_images", [1, 3])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("squeeze", [Squeeze, Reversed])
@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU])
@torch.inference_mode()
def test_activations_and_products_move_and_numbers_stay(squeeze, activation, in_place, n_images):
    network = trained(block(squeeze, activation, inplace=in_place))
    before = deepcopy(network.state_dict())
    found = fused(network, show)
    assert n_fused(found) == (3, 1)  # the third is inside the squeeze
    for _ in range(2):  # packed in the first
        near(found(images(n_images)), network(images(n_images)))
    near(found(images(n_images, (24, 56))), network(images(n_images, (24, 56))))
    assert n_fused(network) == (0, 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@torch.inference_mode()
def test_in_bf16_numbers_are_those_of_autocast_but_for_rounding():
    network = trained(block(inplace=True))
    found = fused(network, show, bf16=True)
    with torch.autocast("cpu", torch.bfloat16):
        rough, own = network(images()), found(images())
    assert own.dtype == torch.bfloat16
    near(own.float(), rough.float(), 0.03)
    near(own.float(), network(images()), 0.03)


class Skipping(nn.Module):
    """What the convolution gives goes on beside the activation."""

    def __init__(self, in_place=False):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.SiLU(inplace=in_place)

    def forward(self, x):
        x = self.conv(x)
        return self.act(x) + x


class Before(Skipping):
    def forward(self, x):
        x = self.conv(x)
        other = x * 2
        return self.act(x) + other


class Twice(Skipping):
    def forward(self, x):
        return self.act(self.conv(x)) + self.act(self.conv(2 * x))


class OneForTwo(Skipping):
    def forward(self, x):
        return self.act(self.act(self.conv(x)))


class Keeping(nn.Module):
    """The product goes on beside the convolution behind it."""

    def __init__(self):
        super().__init__()
        self.stem, self.squeeze, self.conv = nn.Conv2d(3, 6, 1), Squeeze(), nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.squeeze(self.stem(x))
        return self.conv(x) + x


class Strided(Keeping):
    """No 1 x 1 convolution takes the product."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3)

    def forward(self, x):
        return self.conv(self.squeeze(self.stem(x)))


class OwnWeights(nn.Conv2d):
    """It standardises its weights each time."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Skipping(), (0, 0)),
        (Skipping(in_place=True), (1, 0)),  # what goes on beside it is the activation's too
        (Before(), (0, 0)),
        (Before(in_place=True), (0, 0)),
        (Twice(), (0, 0)),
        (OneForTwo(), (0, 0)),
        (Keeping(), (1, 0)),
        (Strided(), (1, 0)),
        (nn.Sequential(OwnWeights(3, 4, 3), nn.SiLU()), (0, 0)),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.SiLU()), (0, 0)),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.SiLU()), (0, 0)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()), (0, 0)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU()), (0, 0)),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (0, 0)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
@torch.inference_mode()
def test_what_cannot_move_stays(network, expected):
    show(network)
    network = trained(network)
    found = fused(network, show)
    assert n_fused(found) == expected
    near(found(images(1, (32, 24))), network(images(1, (32, 24))))


@pytest.mark.parametrize("n_images", [1, 2])
@pytest.mark.parametrize("layers", [["0"], ["1"], ["2", "3"], ["4"], ["4.act"], ["5"], ["0", "1", "2", "3", "4", "5"]])
@torch.inference_mode()
def test_recorded_layers_give_what_they_gave(layers, n_images):
    network = trained(block(inplace=True))
    found = fused(network, show, layers)
    given = dict.fromkeys(layers, "NCHW")
    with record(network, layers, axes=given) as expected, record(found, layers, axes=given) as own:
        network(images(n_images))
        found(images(n_images))
    for layer in layers:
        near(own[layer], expected[layer])


def test_what_has_a_hook_stays_and_the_hook_sees_the_same():
    network, seen = trained(block()), []
    network[2].register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    found = fused(network, show)
    assert n_fused(found) == (2, 1)
    seen.clear()
    with torch.inference_mode():
        network(images()), found(images())
    near(seen[1], seen[0])


def test_a_network_of_another_precision_or_that_fails_is_left():
    double = trained(block()).double()
    assert fused(double, lambda network: network(small_image(3, (32, 24), CPU).double())) is double
    broken = trained(block())
    assert fused(broken, lambda network: network(torch.zeros(1, 7, 9, 9))) is broken


def test_without_the_operations_of_onednn_a_network_is_left(monkeypatch):
    monkeypatch.setattr("mdissect.fusing._THERE", False)
    network = trained(block())
    assert fused(network, show) is network


@pytest.mark.slow
@torch.inference_mode()
def test_mammo_clip_is_folded_and_fused():
    variant = VARIANTS["b2"]
    network, layers = trained(build_tower(variant)), variant.default_layers
    found = quick(network, lambda one: one(small_image(3, (64, 48), CPU)), layers, CPU)
    assert n_fused(found) == (2 + 3 * variant.n_blocks - variant.depths[0], variant.n_blocks)  # the first stage does not expand
    axes = dict.fromkeys(layers, "NCHW")
    with record(network, layers, axes=axes) as expected, record(found, layers, axes=axes) as own:
        near(found(images(1, (96, 64))), network(images(1, (96, 64))))
    for layer in layers:
        near(own[layer], expected[layer])
