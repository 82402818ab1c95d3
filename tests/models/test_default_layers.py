"""The layers that are dissected by default: no head among them, and a neuron per channel, over the families of three libraries.

All networks have random weights. The numbers of channels are those of timm's `feature_info` and of transformers'
configurations, or are written out.
"""

import pytest
import timm
import torch
import torchvision
import transformers
from torch import nn

from mdissect.hooks import record
from mdissect.models import default_layers, load_target
from mdissect.outputs import settle_axes
from mdissect.preprocess import Preprocess

pytestmark = pytest.mark.slow


def channels(module, height, width=None, layers=None):
    """The number of neurons of each default layer."""
    layers = layers or default_layers(module)
    with torch.no_grad(), record(module.eval(), layers) as found:
        module(torch.rand((2, 3, height, width or height), generator=torch.Generator().manual_seed(0)))
    return [found[layer].shape[1] for layer in layers]


def trunk():
    return [nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 3, 1)]


class Parts(nn.Module):
    """A network of named parts."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class Mlp(Parts):
    def __init__(self, *widths):
        super().__init__(fc1=nn.Linear(*widths[:2]), act=nn.GELU(), fc2=nn.Linear(*widths[1:]))


TRUNK = ("0", "1", "2")


@pytest.mark.parametrize(
    "head",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Dropout(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 3)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.Dropout(), nn.Linear(3, 2))),
        nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)),
        nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)),
        nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Sigmoid()),
        nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=1)),
        nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.Identity()),
        nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 2)))),
        Mlp(3, 8, 2),
        Parts(last=nn.Sequential(nn.Dropout(), nn.Linear(3, 2))),
    ],
)
def test_a_head_at_the_end_is_left_out(head):
    assert default_layers(nn.Sequential(*trunk(), head)) == TRUNK
    assert default_layers(nn.Sequential(nn.Sequential(*trunk(), head))) == ("0.0", "0.1", "0.2")


@pytest.mark.parametrize(
    "name", ["fc", "head", "heads", "classifier", "cls_classifier", "pooler", "logits", "aux1", "AuxLogits", "mlp_head"]
)
def test_a_head_is_known_by_its_name_wherever_it_stands(name):
    head = nn.Conv2d(3, 2, 1)
    parts = dict(zip("abc", trunk(), strict=True))
    assert default_layers(Parts(**parts, **{name: head})) == ("a", "b", "c")
    assert default_layers(Parts(**{name: head}, **parts)) == ("a", "b", "c")


def token_block():
    return nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 9), nn.GELU(), nn.Linear(9, 3))


def encoder(name, n_blocks):
    return Parts(**{name: nn.ModuleList(nn.Conv2d(3, 3, 3) for _ in range(n_blocks))})


@pytest.mark.parametrize(
    ("module", "layers"),
    [
        (nn.Sequential(*trunk()), TRUNK),
        (nn.Sequential(token_block(), token_block(), token_block()), ("0.3", "1.3", "2.3")),
        (nn.Sequential(*(Mlp(3, 9, 3) for _ in range(3))), TRUNK),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), ("0", "2")),
        (nn.Sequential(nn.Linear(3, 4)), ("0",)),
        (nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)), TRUNK),
        (Parts(conv=nn.Conv2d(3, 8, 1), density=nn.Linear(8, 4), finding=nn.Linear(8, 5)), ("conv",)),  # two heads
        (Parts(conv=nn.Conv2d(3, 8, 1), density=Mlp(8, 6, 4), finding=nn.Linear(8, 5)), ("conv",)),
        (Parts(conv=nn.Conv2d(3, 8, 1), embed=nn.Linear(8, 6), out=nn.Linear(6, 5)), ("conv", "embed")),
        (Parts(_stem=nn.Conv2d(3, 8, 1), _conv_head=nn.Conv2d(8, 9, 1), _fc=nn.Linear(9, 2)), ("_stem", "_conv_head")),
        (nn.Sequential(nn.Sequential(*trunk()), nn.Sequential(nn.Dropout(), nn.Linear(3, 2))), ("0.0", "0.1", "0.2")),
        (Parts(stem=nn.Conv2d(3, 3, 1), blocks=token_block()), ("blocks.0", "blocks.2", "blocks.3")),
        (Parts(body=nn.Sequential(*trunk()), classifier=nn.Linear(3, 2)), ("body.0", "body.1", "body.2")),
        (Parts(body=nn.ModuleList(trunk()), classifier=nn.Linear(3, 2)), ("body.0", "body.1", "body.2")),
        (Parts(body=nn.ModuleDict(dict(zip("abc", trunk(), strict=True)))), ("body.a", "body.b", "body.c")),
        (Parts(body=nn.ModuleList([nn.ModuleList(trunk())])), ("body.0.0", "body.0.1", "body.0.2")),
        (Parts(encoder=encoder("layers", 3), fc=nn.Linear(3, 2)), tuple(f"encoder.layers.{i}" for i in range(3))),
        (
            Parts(embeddings=nn.Conv2d(3, 3, 1), encoder=encoder("layer", 4), norm=nn.LayerNorm(3)),
            ("encoder.layer.0", "encoder.layer.2", "norm"),
        ),
        (nn.Sequential(encoder("a", 3), encoder("a", 3)), ("0", "1")),  # blocks of a network, not encoders
    ],
)
def test_stages_of_own_modules(module, layers):
    assert default_layers(module) == layers


@pytest.mark.parametrize("module", [nn.Identity(), nn.Sequential(nn.ReLU(), nn.Flatten()), nn.ModuleList()])
def test_a_module_without_weights_has_no_layers(module):
    with pytest.raises(ValueError, match=r"has no layers to choose from; give layers=\[...\] with module paths"):
        default_layers(module)


TORCHVISION = {
    "resnet18": (64, [64, 256, 512]),
    "swin_t": (64, [192, 384, 768]),
    "efficientnet_b0": (64, [40, 192, 1280]),
    "alexnet": (96, [192, 256, 256]),
    "convnext_tiny": (64, [192, 384, 768]),
    "densenet121": (64, [128, 1024, 1024]),
    "mobilenet_v3_small": (64, [24, 96, 576]),
    "regnet_y_400mf": (64, [32, 104, 440]),
    "squeezenet1_1": (64, [128, 384, 512]),
    "shufflenet_v2_x0_5": (64, [96, 96, 1024]),
    "mnasnet0_5": (64, [16, 48, 1280]),
    "googlenet": (64, [256, 512, 1024]),
    "inception_v3": (96, [256, 768, 2048]),
    "mobilenet_v2": (64, [32, 96, 1280]),
    "swin_v2_t": (64, [192, 384, 768]),
    "vgg11": (64, [256, 512, 512]),
}
QUICK = {"resnet18", "swin_t", "squeezenet1_1", "mobilenet_v3_small", "googlenet"}


def table(names, quick):
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


def without_starting_values(make, **options):
    """A network whose weights are as they come: drawing them takes longer than running it."""
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        for name in ("trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_"):
            patch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
        return make(**options)


@pytest.mark.parametrize("name", table(TORCHVISION, QUICK))
def test_torchvision(name):
    size, expected = TORCHVISION[name]
    options = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    assert channels(without_starting_values(getattr(torchvision.models, name), weights=None, **options), size) == expected


@pytest.mark.parametrize("name", ["fcn_resnet50", "lraspp_mobilenet_v3_large"])
@pytest.mark.slow
def test_torchvisions_networks_for_masks(name):
    make = getattr(torchvision.models.segmentation, name)
    expected = {"fcn_resnet50": [512, 1024, 2048], "lraspp_mobilenet_v3_large": [40, 112, 960]}
    assert channels(without_starting_values(make, weights=None, weights_backbone=None), 64) == expected[name]


def test_a_network_inside_another_keeps_its_own_stages():
    network = timm.create_model("test_resnet", num_classes=0)
    own = default_layers(network)
    assert own == ("layer1", "layer3", "layer4")
    assert default_layers(nn.Sequential(network, nn.Linear(network.num_features, 2))) == tuple(f"0.{layer}" for layer in own)
    assert default_layers(Parts(backbone=network, head=nn.Conv2d(3, 3, 1))) == tuple(f"backbone.{layer}" for layer in own)


def small_vit():
    return torchvision.models.VisionTransformer(64, patch_size=16, num_layers=6, num_heads=2, hidden_dim=24, mlp_dim=48)


def small_maxvit():
    blocks = {"block_channels": [8, 16, 24, 32], "block_layers": [1, 1, 1, 1], "stochastic_depth_prob": 0.1}
    return torchvision.models.MaxVit((64, 64), stem_channels=8, head_dim=8, partition_size=1, **blocks)


@pytest.mark.parametrize(("make", "expected"), [(small_vit, [24, 24, 24]), (small_maxvit, [8, 16, 32])])
def test_torchvisions_networks_of_one_image_size(make, expected):
    assert channels(without_starting_values(make), 64) == expected


ANY_SIZE = """
resnet18 convnext_atto efficientnet_b0 regnetx_002 densenet121 pvt_v2_b0 edgenext_xx_small mobilevit_xxs poolformer_s12 vgg11
mobilenetv3_small_050 ghostnet_050 lcnet_035 mnasnet_050 repvgg_a0 rexnet_100 dla34 fastvit_t8 efficientvit_b0 mobileone_s0
mobilevitv2_050 starnet_s1 mambaout_femto focalnet_tiny_srf res2net50_26w_4s resnetv2_50 seresnet18 inception_next_atto
tiny_vit_5m_224 test_efficientnet
"""
ONE_SIZE = """
test_vit vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 mixer_s32_224 swin_tiny_patch4_window7_224 cait_xxs24_224
levit_128s maxvit_nano_rw_256 coatnet_nano_rw_224 resmlp_12_224 xcit_nano_12_p16_224 pit_ti_224 convit_tiny hiera_tiny_224
nest_tiny gmlp_s16_224 vit_relpos_small_patch16_224 beit_base_patch16_224 visformer_tiny eva02_tiny_patch14_224
"""
QUICK_TIMM = {"resnet18", "convnext_atto", "test_vit", "test_efficientnet", "regnetx_002", "mixer_s32_224", "levit_128s"}


@pytest.mark.parametrize("name", table([*ANY_SIZE.split(), *ONE_SIZE.split()], QUICK_TIMM))
def test_timm(name):
    size = 56 if "patch14" in name else 64
    options = {"img_size": size} if name in ONE_SIZE else {}
    module = without_starting_values(timm.create_model, model_name=name, **options)
    declared = {entry["module"]: entry["num_chs"] for entry in module.feature_info}
    layers = default_layers(module)
    assert channels(module, size, layers=layers) == [declared[layer] for layer in layers]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("coat_tiny", [152] * 3), ("twins_pcpvt_small", [128, 320, 512])])
def test_timms_networks_whose_description_fits_no_module(name, expected):
    module = without_starting_values(timm.create_model, model_name=name)
    assert channels(module, module.default_cfg["input_size"][-1]) == expected


def options(**given):
    return given


TOKENS = options(hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8)
WINDOWS = options(image_size=32, patch_size=2, embed_dim=8, depths=[1, 2], num_heads=[1, 2], window_size=4)
FOUR = options(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1])
WIDE = options(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
HEADS = options(num_attention_heads=[1, 2, 2, 4])
LEVIT = options(image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8])
MOBILEVIT = options(image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 12, 16, 24, 32, 40])
BIT = options(embedding_size=8, hidden_sizes=[32, 32, 64, 64], depths=[1, 1, 1, 1], num_groups=8)
HIERA = options(image_size=[64, 64], embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
# By class: the name of its configuration, options of that, side of the images, channels.
TRANSFORMERS = {
    "ViTModel": ("ViT", TOKENS, 32, [24, 24, 24]),
    "ViTForImageClassification": ("ViT", TOKENS, 32, [24, 24, 24]),
    "BeitModel": ("Beit", TOKENS, 32, [24, 24, 24]),
    "BeitForImageClassification": ("Beit", TOKENS, 32, [24, 24, 24]),
    "DeiTModel": ("DeiT", TOKENS, 32, [24, 24, 24]),
    "DeiTForImageClassificationWithTeacher": ("DeiT", TOKENS, 32, [24, 24, 24]),
    "Dinov2Model": ("Dinov2", TOKENS, 32, [24, 24, 24]),
    "Dinov2ForImageClassification": ("Dinov2", TOKENS, 32, [24, 24, 24]),
    "Dinov2WithRegistersModel": ("Dinov2WithRegisters", TOKENS, 32, [24, 24, 24]),
    "CLIPVisionModel": ("CLIPVision", TOKENS, 32, [24, 24, 24]),
    "CLIPVisionModelWithProjection": ("CLIPVision", TOKENS, 32, [24, 24, 24]),
    "SiglipVisionModel": ("SiglipVision", TOKENS, 32, [24, 24, 24]),
    "ViTMAEModel": ("ViTMAE", TOKENS, 32, [24, 24, 24]),
    "ViTMSNModel": ("ViTMSN", TOKENS, 32, [24, 24, 24]),
    "IJepaModel": ("IJepa", TOKENS, 32, [24, 24, 24]),
    "Data2VecVisionModel": ("Data2VecVision", TOKENS, 32, [24, 24, 24]),
    "YolosModel": ("Yolos", TOKENS | options(image_size=[32, 32]), 32, [24, 24, 24]),
    "SwinModel": ("Swin", WINDOWS, 32, [16, 16, 16]),
    "SwinForImageClassification": ("Swin", WINDOWS, 32, [16, 16, 16]),
    "Swinv2Model": ("Swinv2", WINDOWS, 32, [16, 16, 16]),
    "ConvNextModel": ("ConvNext", FOUR, 64, [8, 16, 24]),
    "ConvNextForImageClassification": ("ConvNext", FOUR, 64, [8, 16, 24]),
    "ConvNextV2Model": ("ConvNextV2", FOUR, 64, [8, 16, 24]),
    "ResNetModel": ("ResNet", FOUR | options(embedding_size=8, layer_type="basic"), 64, [8, 16, 24]),
    "ResNetForImageClassification": ("ResNet", FOUR | options(embedding_size=8, layer_type="basic"), 64, [8, 16, 24]),
    "RegNetModel": ("RegNet", WIDE | options(embedding_size=8, groups_width=8), 64, [8, 24, 32]),
    "SegformerModel": ("Segformer", WIDE | HEADS, 64, [16, 24, 32]),
    "SegformerForImageClassification": ("Segformer", WIDE | HEADS, 64, [16, 24, 32]),
    "SegformerForSemanticSegmentation": ("Segformer", WIDE | HEADS | options(decoder_hidden_size=16), 64, [16, 24, 32]),
    "MobileNetV1Model": ("MobileNetV1", options(depth_multiplier=0.25), 64, [64, 128, 256]),
    "MobileNetV2Model": ("MobileNetV2", options(depth_multiplier=0.35), 64, [16, 32, 1280]),
    "LevitModel": ("Levit", LEVIT, 64, [24, 32, 32]),
    "LevitForImageClassification": ("Levit", LEVIT, 64, [24, 32, 32]),
    "PvtV2Model": ("PvtV2", WIDE | HEADS | options(image_size=64, depths=[1, 1, 1, 1]), 64, [16, 24, 32]),
    "PoolFormerModel": ("PoolFormer", FOUR | options(depths=[2, 2, 6, 2]), 64, [12, 16, 24]),
    "BitModel": ("Bit", BIT, 64, [32, 64, 64]),
    "FocalNetModel": ("FocalNet", options(image_size=64, embed_dim=8, depths=[1, 1, 2, 1]), 64, [16, 64, 64]),
    "HieraModel": ("Hiera", HIERA, 64, [8, 32, 64]),
    "MobileViTModel": ("MobileViT", MOBILEVIT, 64, [12, 24, 40]),
}


def transformer(name):
    config, given, _, _ = TRANSFORMERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, name)(getattr(transformers, f"{config}Config")(**given))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name):
    _, _, size, expected = TRANSFORMERS[name]
    assert channels(transformer(name), size) == expected


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("ViTModel", 1),
        ("BeitModel", 1),
        ("DeiTModel", 2),
        ("Dinov2Model", 1),
        ("Dinov2WithRegistersModel", 5),
        ("CLIPVisionModel", 1),
        ("SiglipVisionModel", 0),
        ("IJepaModel", 0),
        ("SwinModel", 0),
    ],
)
def test_patches_of_transformers_are_those_behind_the_other_tokens(name, prefix):
    module = transformer(name).eval()
    layer, x, outputs = default_layers(module)[0], torch.rand(3, 3, 32, 32), []
    with torch.no_grad(), record(module, [layer], "patches") as found:
        module.get_submodule(layer).register_forward_hook(lambda _, __, output: outputs.append(output))
        module(x)
    tokens = outputs[-1] if isinstance(outputs[-1], torch.Tensor) else outputs[-1][0]
    torch.testing.assert_close(found[layer], tokens[:, prefix:].mean(dim=1))


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        ("vit_tiny_patch16_224", {1}),
        ("deit_tiny_distilled_patch16_224", {2}),
        ("vit_small_patch14_reg4_dinov2", {5}),
        ("cait_xxs24_224", {0}),  # its class token comes behind the blocks
        ("convit_tiny", {0, 1}),  # or before the last of them
        ("mixer_s32_224", {0}),
    ],
)
def test_patches_of_timm_are_those_behind_the_other_tokens(name, prefixes):
    size = 56 if "patch14" in name else 64
    module = without_starting_values(timm.create_model, model_name=name, img_size=size).eval()
    layouts = settle_axes(module, default_layers(module), torch.zeros(2, 3, size, size), "patches")
    assert {layout.prefix for layout in layouts.values()} == prefixes


@pytest.mark.parametrize("name", ["ViTModel", "ResNetForImageClassification", "SegformerModel"])
def test_a_transformers_model_is_a_target_from_end_to_end(name):
    import toys

    size, expected = TRANSFORMERS[name][2:]
    target = load_target(transformer(name), preprocess=Preprocess(size=(size, size), scale="dtype"), name=name)
    found = toys.toy_dissect(target, toys.RowDissector(), toys.toy_probe(24), top_k=5)
    assert [scores.shape[0] for scores in found.similarity.values()] == expected
    assert len(found.labels()) == sum(expected)


def test_objects_are_recorded_by_their_last_hidden_state():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = transformer("ViTModel")

        def forward(self, x):
            return self.vit(x).pooler_output

    assert channels(Whole(), 32, layers=["vit"]) == [24]
