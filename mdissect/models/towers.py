"""Image-text models: an image tower (timm), a text tower (transformers), both projected into one space."""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import one_of

IMAGE_POOLS = ("avg", "avgmax", "own")
TEXT_POOLS = ("mean", "eos")


def default_config(vocab_size: int) -> dict:
    """The architecture of the demo models: 0.6 million parameters, 256 channels in the last layer.

    A fresh plain dict, as `build_image_text` reads it and as it stands in a demo model's config.json. `vocab_size`: entries of
    the tokenizer (`WordPieceTexts.vocab_size`).
    """
    return {
        "image": {
            "stages": [["cn_r1_k3_s2_e1_c32"], ["cn_r1_k3_s2_e1_c48"], ["er_r1_k3_s2_e2_c80"], ["er_r1_k3_s2_e2_c112"]],
            "stem": 16,
            "features": 256,
            "act": "relu",
            "pool": "avgmax",
        },
        "text": {
            "vocab_size": vocab_size,
            "hidden_size": 128,
            "layers": 2,
            "heads": 4,
            "intermediate_size": 256,
            "max_positions": 80,
            "pool": "mean",
        },
        "embed_dim": 128,
    }


class ImageTextModel(nn.Module):
    """Two towers and two linear projections (with bias) into a shared space of unit vectors.

    Parameters
    ----------
    image_tower : nn.Module
        A timm model whose `forward_features` returns a map (n, image_features, h, w), or with image_pool "own" anything.
    text_tower : nn.Module
        A transformers encoder: called with input_ids and attention_mask, its result has `last_hidden_state`
        (n, length, text_features).
    image_features, text_features, embed_dim : int
        Widths of the pooled image features, of the text tower and of the shared space.
    text_pool : {"mean", "eos"}
        "mean": mean of the last hidden states over the tokens that are not padding. "eos": the last hidden state at
        index attention_mask.sum() - 1, as Mammo-CLIP does.
    image_pool : {"avg", "avgmax", "own"}
        Spatial mean, half the sum of spatial mean and spatial maximum, or what the tower itself does before its classifier
        (timm's `forward_head`), as for tokens.

    Attributes
    ----------
    logit_scale : nn.Parameter
        Logarithm of the factor on the cosine similarities in contrastive training; starts at log(1 / 0.07).
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        *,
        image_features: int,
        text_features: int,
        embed_dim: int,
        text_pool: str = "mean",
        image_pool: str = "avg",
    ):
        super().__init__()
        one_of("text_pool", text_pool, TEXT_POOLS)
        one_of("image_pool", image_pool, IMAGE_POOLS)
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = nn.Linear(image_features, embed_dim)
        self.text_projection = nn.Linear(text_features, embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.text_pool = text_pool
        self.image_pool = image_pool

    def image_features(self, x: Tensor) -> Tensor:
        """The last feature map (n, c, h, w), or tokens, of images x (n, channels, height, width)."""
        return self.image_tower.forward_features(x)

    def pool_image(self, feature_map: Tensor) -> Tensor:
        """Pool a map (n, c, h, w), or tokens, over its positions into (n, c)."""
        if self.image_pool == "own":
            return self.image_tower.forward_head(feature_map, pre_logits=True)
        mean = feature_map.mean(dim=(2, 3))
        return mean if self.image_pool == "avg" else 0.5 * (mean + feature_map.amax(dim=(2, 3)))

    def encode_images(self, x: Tensor) -> Tensor:
        """Embed images (n, channels, height, width) as unit vectors (n, embed_dim)."""
        return F.normalize(self.image_projection(self.pool_image(self.image_features(x))), dim=1)

    def pool_text(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Pool hidden states (n, length, w) into (n, w); attention_mask (n, length) is 1 on tokens, 0 on padding."""
        if self.text_pool == "eos":
            last = attention_mask.sum(dim=1) - 1
            return states[torch.arange(len(states), device=states.device), last]
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed tokenised texts (n, length) as unit vectors (n, embed_dim)."""
        return self.project_text(self.text_states(input_ids, attention_mask), attention_mask)

    def text_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The text tower's last hidden states (n, length, w)."""
        return self.text_tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    def project_text(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states (n, length, w) as unit vectors (n, embed_dim)."""
        return F.normalize(self.text_projection(self.pool_text(states, attention_mask)), dim=1)


def small_efficientnet(
    stages: list[list[str]], stem: int = 16, features: int = 256, act: str = "relu", pool: str = "avg"
) -> nn.Module:
    """A small CNN of timm's EfficientNet class, without classifier, its stem of stride 2.

    `stages` are timm's block strings, one list per stage: ["er_r1_k3_s2_e2_c80"] is one fused inverted residual (er) block with
    kernel 3, stride 2, expansion 2 and 80 channels. Stages are the modules `blocks.0`, `blocks.1`, ...; the last map
    (n, features, h, w) is the output of `bn2`. `pool` is that of the model's own forward pass, see `ImageTextModel`.
    """
    from timm.layers import get_act_layer
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    return EfficientNet(
        decode_arch_def([list(stage) for stage in stages]),
        num_classes=0,
        num_features=features,
        stem_size=stem,
        fix_stem=True,
        act_layer=get_act_layer(act),
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
        global_pool=pool,
    )


def _text_tower(
    vocab_size: int, hidden_size: int, layers: int, heads: int, intermediate_size: int, max_positions: int
) -> nn.Module:
    """A BERT encoder with random weights, without pooler and without dropout."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False)


def _check_keys(found: dict, wanted: dict, where: str) -> None:
    """Raise ValueError when `found` has other keys than `wanted`."""
    missing, unknown = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or unknown:
        raise ValueError(
            f"{where} of the model configuration: missing keys {missing}, unknown keys {unknown}; "
            f"it needs exactly {sorted(wanted)}"
        )


def build_image_text(config: dict) -> ImageTextModel:
    """Build an image-text model with random weights from a plain (JSON) configuration.

    >>> model = build_image_text(default_config(vocab_size=700))
    >>> model.encode_images(torch.rand(2, 3, 256, 160)).shape
    torch.Size([2, 128])

    Parameters
    ----------
    config : dict
        As `default_config` returns it. Further top-level keys (preprocess, layers, ...) describe the model's use and are not
        read here.

    Raises
    ------
    ValueError
        When a key is missing or unknown.
    """
    wanted = default_config(vocab_size=0)
    _check_keys({key: config[key] for key in wanted if key in config}, wanted, "top level")
    _check_keys(config["image"], wanted["image"], "section 'image'")
    _check_keys(config["text"], wanted["text"], "section 'text'")
    text = {key: value for key, value in config["text"].items() if key != "pool"}
    return ImageTextModel(
        small_efficientnet(**config["image"]),
        _text_tower(**text),
        image_features=config["image"]["features"],
        text_features=text["hidden_size"],
        embed_dim=config["embed_dim"],
        text_pool=config["text"]["pool"],
        image_pool=config["image"]["pool"],
    )
