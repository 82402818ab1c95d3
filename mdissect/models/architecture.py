"""What builds an image-text model again: plain values that stand in its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mdissect.models.checkpoints import CheckpointError
from mdissect.models.configs import COUNT, WIDTH, building, check_fields, check_transformer, text_list
from mdissect.models.efficientnet import VARIANTS, build_tower
from mdissect.models.timm_model import create
from mdissect.models.towers import IMAGE_POOLS, TEXT_POOLS, ImageTextModel, small_efficientnet

IMAGE_KINDS = ("timm", "mammo-clip", "small")
# What transformers notes of a model beside its architecture, or what would let it run the code of a repository.
_NOT_THE_TOWER = (
    "transformers_version", "_name_or_path", "architectures", "id2label", "label2id", "dtype", "torch_dtype", "auto_map",
    "problem_type", "output_hidden_states", "output_attentions", "return_dict",
)  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """The architecture of an `ImageTextModel`, its tokens and the layers of its image tower.

    Attributes
    ----------
    image : mapping
        "kind": "timm" (with "name" and "options" of timm.create_model), "mammo-clip" (with "name": "b2" or "b5") or "small"
        (with "options" of `small_efficientnet`).
    text : mapping
        The settings of a model of transformers, "model_type" among them.
    tokens : mapping
        "pad" and "special": the tokens that say nothing; "max_length".
    image_features, text_features, embed_dim : int
        Widths of the two towers and of the shared space.
    layers : tuple of str
        Default layers of the image tower as a target.
    """

    image: Mapping
    text: Mapping
    tokens: Mapping
    image_features: int
    text_features: int
    embed_dim: int
    image_pool: str
    text_pool: str
    layers: tuple[str, ...]

    def build(self) -> ImageTextModel:
        """The model with random weights."""
        return ImageTextModel(
            build_image_tower(self.image),
            build_text_tower(self.text),
            image_features=self.image_features,
            text_features=self.text_features,
            embed_dim=self.embed_dim,
            text_pool=self.text_pool,
            image_pool=self.image_pool,
        )

    def plain(self) -> dict:
        """As it stands in a config.json."""
        return {**vars(self), "layers": list(self.layers)}

    @classmethod
    def parsed(cls, config: Mapping, source: object) -> "Architecture":
        """The architecture in a config.json; CheckpointError for a missing or wrong field."""
        names = tuple(cls.__dataclass_fields__)
        widths = dict.fromkeys(("image_features", "text_features", "embed_dim"), WIDTH)
        check_fields(config, {**widths, "layers": text_list}, source, needed=names)
        check_fields(config["tokens"], {"max_length": COUNT, "special": text_list}, f"{source}, tokens", ("pad", "special"))
        for name, known in (("image_pool", IMAGE_POOLS), ("text_pool", TEXT_POOLS)):
            if config[name] not in known:
                raise CheckpointError(f"{source}: {name}={config[name]!r} is not one of {', '.join(known)}")
        check_transformer(config["text"], f"{source}, text")
        return cls(**{name: config[name] for name in names} | {"layers": tuple(config["layers"])})


def build_image_tower(image: Mapping) -> nn.Module:
    """The image tower of an architecture, without classifier, with random weights."""
    kind, name, options = image.get("kind"), image.get("name", ""), image.get("options") or {}
    if kind == "timm":
        return create(name, {**options, "num_classes": 0})
    if kind == "mammo-clip" and name in VARIANTS:
        return build_tower(VARIANTS[name])
    if kind == "small":
        return small_efficientnet(**options)
    raise CheckpointError(f"an image tower of kind {kind!r} named {name!r} is unknown; kinds: {', '.join(IMAGE_KINDS)}")


def build_text_tower(settings: Mapping) -> nn.Module:
    """An encoder of transformers with random weights, without pooler where it can do without; no code of a repository runs."""
    from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, AutoModel

    settings = tower_settings(settings)
    kind = settings.pop("model_type", None)
    if kind not in CONFIG_MAPPING or CONFIG_MAPPING[kind] not in MODEL_MAPPING:
        raise CheckpointError(f"a text tower of the kind {kind!r} is unknown to this version of transformers")
    with building(f"text tower {kind!r}"):
        config = AutoConfig.for_model(kind, **settings)
        try:
            return AutoModel.from_config(config, add_pooling_layer=False)
        except TypeError:  # this kind has no pooler
            return AutoModel.from_config(config)


def tower_settings(settings: Mapping) -> dict:
    """The settings of a text tower alone."""
    return {name: value for name, value in settings.items() if name not in _NOT_THE_TOWER}


@torch.no_grad()
def width_of_images(tower: nn.Module, channels: int, size: tuple[int, int]) -> tuple[int, str]:
    """The width of an image tower's features, and how they are pooled: "avg" for a map, "own" for anything else."""
    was_training = tower.training
    x = torch.zeros(1, channels, *size)
    tower.eval()
    features = tower.forward_features(x)
    pooled = tower.forward_head(features, pre_logits=True)
    tower.train(was_training)
    is_map = isinstance(features, torch.Tensor) and features.ndim == 4 and features.shape[1] == pooled.shape[1]
    is_map = is_map and features.shape[1] == getattr(tower, "num_features", None)
    return int(pooled.shape[1]), "avg" if is_map else "own"
