"""The head and what feeds it are found by running the network, whatever its parts are called."""

import nets
import numpy as np
import pytest
import torch
from torch import nn

from mdissect.predictions.head import Head, NoHeadError, find_head

pytestmark = pytest.mark.slow

X = torch.rand(4, 1, nets.SIDE, nets.SIDE, generator=torch.Generator().manual_seed(5))

FEEDING = {
    "mean": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)],
    "batch norm, activation, mean and maximum": [nn.BatchNorm2d(6), nn.ReLU(), nets.AvgMax(), nn.Dropout(0.5), nn.Linear(6, 3)],
    "activation and norm behind the pooling": [nets.AvgMax(), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 1)],
    "a convolution as the head": [nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 3, 1), nn.Flatten()],
    "tokens": [nets.Transposed(), nets.MeanToken(), nn.Linear(6, 2)],
    "the first token": [nets.Transposed(), nets.First(), nn.Linear(6, 2)],
    "an empty part at the end": [nets.AvgMax(), nn.Linear(6, 3), nn.Identity()],
}


@pytest.mark.parametrize("behind", FEEDING.values(), ids=FEEDING)
@pytest.mark.parametrize("seed", range(3))
def test_parts_that_keep_neurons_apart_are_part_of_what_the_head_gets(behind, seed):
    module = nets.net(*behind, seed=seed)
    head = find_head(module, X, ["0", "2"])
    assert (head.layer, head.n_neurons) == ("2", 6)
    assert head.owner.tolist() == list(range(6))
    assert not any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in module.modules())


def test_a_head_that_reads_every_place_has_several_inputs_of_a_neuron():
    module = nets.net(nn.Flatten(), nn.Linear(6 * 16, 2))
    head = find_head(module, X, ["2"])
    assert head.owner.tolist() == np.repeat(range(6), 16).tolist()
    values = np.arange(2 * 96.0).reshape(2, 96)
    summed = head.by_neuron(values)
    np.testing.assert_allclose(summed[:, :6], values.reshape(2, 6, 16).sum(axis=2))
    assert (summed[:, 6] == 0).all()


def test_neurons_that_come_in_another_order_are_found():
    class Shuffled(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))[:, [3, 0, 5, 1, 2, 4]]

    head = find_head(nets.net(Shuffled(), nn.Linear(6, 2)), X, ["2"])
    assert head.owner.tolist() == [3, 0, 5, 1, 2, 4]
    np.testing.assert_allclose(head.by_neuron(np.array([[10.0, 20, 30, 40, 50, 60]])), [[20, 40, 50, 10, 60, 30, 0]])


def test_inputs_from_elsewhere_belong_to_no_neuron():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 2, 1), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(torch.cat([self.one(x), self.two(x)], dim=1).mean(dim=(2, 3)))

    torch.manual_seed(0)
    assert find_head(Both().eval(), X, ["one"]).owner.tolist() == [0, 1, 2, -1, -1]
    assert find_head(Both().eval(), X, ["two"]).owner.tolist() == [-1, -1, -1, 0, 1]


def test_a_neuron_that_never_moves_the_head_is_in_its_place():
    class Dead(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3)) * torch.tensor([1.0, 0, 1, 1, 0, 1])

    assert find_head(nets.net(Dead(), nn.Linear(6, 2)), X, ["2"]).owner.tolist() == list(range(6))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 33])
def test_any_number_of_neurons(width):
    module = nets.net(nets.AvgMax(), nn.Linear(width, 2), width=width)
    assert find_head(module, X, ["2"]).owner.tolist() == list(range(width))
    assert find_head(module, X[:1], ["2"]).n_neurons == width


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        ([nn.Conv2d(6, 6, 1), nets.AvgMax(), nn.Linear(6, 2)], r"stands 3 \(Conv2d\), 4 \(AvgMax\).*dissect layer '4' or '3'"),
        (
            [nets.AvgMax(), nn.LayerNorm(6), nn.Linear(6, 2)],
            r"AvgMax\), 4 \(LayerNorm\), which mixes neurons; dissect layer '4'",
        ),
        ([nets.AvgMax(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)], r"4 \(Linear\), 5 \(ReLU\).*dissect layer '5' or '4'"),
        ([nets.AvgMax(), nn.Softmax(1), nn.Linear(6, 2)], r"4 \(Softmax\), which mixes neurons"),
    ],
)
def test_what_mixes_neurons_is_named_and_what_would_do(behind, message):
    with pytest.raises(NoHeadError, match=message):
        find_head(nets.net(*behind), X, ["0", "2"])


class Squashed(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nets.net(nets.AvgMax(), nn.Linear(6, 2))

    def forward(self, x):
        return torch.sigmoid(self.net(x))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nets.net(nets.AvgMax(), nn.Linear(6, 2), nn.Softmax(1)), r"behind the last one, '4', stands 5 \(Softmax\)"),
        (Squashed().eval(), r"behind the last one, 'net.4', stands a function that is no module"),
        (nets.net(nets.AvgMax()), r"it has none; contributions need a network that ends in one"),
    ],
)
def test_a_network_without_a_linear_head_is_refused(module, message):
    layer = "net.2" if isinstance(module, Squashed) else "2"
    with pytest.raises(NoHeadError, match=message):
        find_head(module, X, [layer])


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match="layer 'nine' is not in Sequential"):
        find_head(nets.net(nets.AvgMax(), nn.Linear(6, 2)), X, ["nine"])


def test_sums_by_neuron_keep_the_whole():
    rng = np.random.default_rng(0)
    head = Head("h", "l", np.ones((1, 9)), np.zeros(1), rng.integers(-1, 4, 9), 4)
    values = rng.normal(size=(5, 9))
    np.testing.assert_allclose(head.by_neuron(values).sum(axis=1), values.sum(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "path"),
    [
        ("resnet18", "layer4", "fc"),
        ("efficientnet_b0", "features", "classifier.1"),
        ("swin_t", "norm", "head"),
    ],
)
def test_torchvisions_networks(name, layer, path):
    import torchvision

    module = getattr(torchvision.models, name)(weights=None).eval()
    head = find_head(module, torch.rand(2, 3, 64, 64), [layer])
    assert (head.path, head.layer) == (path, layer)
    assert (head.owner == np.arange(head.n_neurons)).all()


@pytest.mark.slow
def test_timms_vision_transformer_is_read_behind_its_norm():
    import timm

    module = timm.create_model("vit_tiny_patch16_224", img_size=64).eval()
    x = torch.rand(2, 3, 64, 64)
    with pytest.raises(NoHeadError, match=r"stands norm \(LayerNorm\), which mixes neurons; dissect layer 'norm'"):
        find_head(module, x, ["blocks.11"])
    assert find_head(module, x, ["blocks.11", "norm"]).layer == "norm"
