"""The released EfficientNets: padding and names, against an independent implementation."""

import pytest
import timm
import torch

from mdissect.hooks import record
from mdissect.models import recognise, released_name
from mdissect.models.efficientnet import VARIANTS, build_tower

efficientnet_pytorch = pytest.importorskip("efficientnet_pytorch")

B2, B5 = VARIANTS["b2"], VARIANTS["b5"]


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def reference(variant):
    """efficientnet_pytorch's network, random in weights and batch statistics, so that its output depends on the image."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = efficientnet_pytorch.EfficientNet.from_name(f"efficientnet-{variant.name}", num_classes=3).eval()
        for weight in network.parameters():
            if weight.ndim == 4:
                torch.nn.init.kaiming_normal_(weight)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.01)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module", params=[B2, B5], ids=["b2", "b5"])
def pair(request):
    """A variant, the reference network and ours with the same weights."""
    network = reference(request.param)
    tower = build_tower(request.param, num_classes=3).eval()
    own = {released_name(name, request.param): name for name in tower.state_dict()}
    assert own.keys() == network.state_dict().keys()
    tower.load_state_dict({own[name]: tensor for name, tensor in network.state_dict().items()})
    return request.param, network, tower


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (97, 61), (50, 128)])
def test_equal_to_an_independent_implementation_at_any_size(pair, size):
    variant, network, tower = pair
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    blocks = (0, variant.n_blocks // 2, variant.n_blocks - 1)
    expected = {}
    handles = [
        network._blocks[number].register_forward_hook(
            lambda _module, _inputs, output, number=number: expected.__setitem__(number, output.mean(dim=(2, 3)))
        )
        for number in blocks
    ]
    with torch.inference_mode(), record(tower, variant.layer_paths(blocks)) as activations:
        features = network.extract_features(images)
        assert relative_error(features[0], features[1]) > 0.02
        assert relative_error(tower.forward_features(images), features) < 1e-5
    for handle in handles:
        handle.remove()
    for number in blocks:
        assert relative_error(activations[variant.block_path(number)], expected[number]) < 1e-5


@pytest.mark.slow
def test_other_paddings_give_other_numbers():
    images = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    network = reference(B2)
    names = {released_name(name, B2): name for name in build_tower(B2, num_classes=3).state_dict()}
    for padding in ("", "same"):
        other = timm.create_model("efficientnet_b2", num_classes=3, bn_eps=1e-3, pad_type=padding).eval()
        other.load_state_dict({names[name]: tensor for name, tensor in network.state_dict().items()})
        with torch.inference_mode():
            assert relative_error(other.forward_features(images), network.extract_features(images)) > 1e-2


@pytest.mark.slow
def test_batches_and_memory_layout_do_not_matter(pair):
    _, _, tower = pair
    images = torch.rand(3, 3, 61, 50)
    with torch.inference_mode():
        together = tower.forward_features(images.to(memory_format=torch.channels_last))
        alone = torch.cat([tower.forward_features(image[None]) for image in images])
    assert relative_error(together, alone) < 1e-5


def test_block_numbers_count_over_all_stages():
    assert (B2.n_blocks, B5.n_blocks) == (23, 39)
    assert [B5.block_path(number) for number in (0, 2, 3, 19, 20, 38)] == [
        "blocks.0.0",
        "blocks.0.2",
        "blocks.1.0",
        "blocks.3.6",
        "blocks.4.0",
        "blocks.6.2",
    ]
    assert (
        B5.default_layers == B5.layer_paths(None) == B5.layer_paths([2, 19, 38]) == ("blocks.0.2", "blocks.3.6", "blocks.6.2")
    )
    assert B2.default_layers == ("blocks.0.1", "blocks.3.3", "blocks.6.1")
    assert B5.layer_paths("bn2") == ("bn2",)
    assert B5.layer_paths(38) == ("blocks.6.2",)
    assert B5.layer_paths(["bn2", 0]) == ("bn2", "blocks.0.0")
    for number in (-1, 39):
        with pytest.raises(ValueError, match=rf"block {number} is not one of the 39 of EfficientNet-B5"):
            B5.block_path(number)


@pytest.mark.slow
def test_variants_are_recognised(pair):
    variant, network, tower = pair
    released = {f"module.image_encoder.{name}": tensor.shape for name, tensor in network.state_dict().items()}
    own = {name: tensor.shape for name, tensor in tower.state_dict().items()}
    for shapes in (released, own):
        assert recognise(shapes) is variant
        assert recognise({name: shape for name, shape in shapes.items() if "conv_head" not in name}) is variant
    assert recognise({"_conv_head.weight": torch.Size([1280, 320, 1, 1])}) is None
    assert recognise({"layer1.weight": torch.Size([2, 2])}) is None
