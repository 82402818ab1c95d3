"""The general model of the study (G): an ImageNet EfficientNet-B5 and BioClinicalBERT, whose towers were never aligned."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mdissect.arguments import whole_number
from mdissect.models.checkpoints import weights_fingerprint
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.efficientnet import VARIANTS, build_tower, released_name
from mdissect.models.fitting import fill
from mdissect.models.mammo_clip import PREPROCESS, build_mammo_clip, fill_bert
from mdissect.models.target import Target, freeze
from mdissect.models.weights import locate
from mdissect.preprocess import Preprocess

B5 = VARIANTS["b5"]
UNALIGNED = "its two towers were never aligned and its projections are random (seed {seed}): similarities to texts mean nothing"


def load_general_target(
    rest: str,
    *,
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    layers: str | int | Sequence[str | int] | None = None,
    preprocess: Preprocess = PREPROCESS,
    download: bool = False,
) -> Target:
    """EfficientNet-B5 trained on ImageNet (the study's G).

    >>> load_target("general", checkpoint="tf_efficientnet_b5.aa_in1k.safetensors")  # doctest: +SKIP

    It is padded statically and sees the same prepared images as Mammo-CLIP, as in the released code: G and M then differ in
    their weights alone. `load_target("timm/tf_efficientnet_b5")` pads and prepares as the ImageNet training did.

    Parameters
    ----------
    checkpoint : path, optional
        Weights of timm's tf_efficientnet_b5, or of efficientnet_pytorch's efficientnet-b5 (the file the released code takes);
        by default the one under `data/weights/imagenet/`.
    weights : str, optional
        Of several sets of weights in the file, the one under this name, such as "state_dict_ema".
    layers, preprocess, download
        As for `mdissect.models.mammo_clip.load_mammo_clip_target`.
    """
    _check_rest(rest)
    path = locate({"imagenet-b5": checkpoint}, download)["imagenet-b5"]
    with torch.random.fork_rng(devices=[]):
        tower = build_tower(B5)
    notes = _fill_tower(tower, path, weights)
    freeze(tower)
    return Target("general", tower, preprocess, B5.layer_paths(layers), weights_fingerprint(tower), tuple(notes))


def load_general_dissector(
    rest: str,
    *,
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    text_model: str | Path | None = None,
    seed: int = 0,
    preprocess: Preprocess = PREPROCESS,
    download: bool = False,
) -> ImageTextDissector:
    """The study's G as a dissector: two trained towers behind random projections, marked as not aligned.

    Parameters
    ----------
    text_model : path, optional
        A folder with emilyalsentzer/Bio_ClinicalBERT (config.json, vocab.txt and weights); by default
        `data/weights/bio-clinical-bert/`.
    seed : int
        Of the projections.
    checkpoint, weights, preprocess, download
        As for `load_general_target`.
    """
    _check_rest(rest)
    whole_number("seed", seed, least=0)
    files = locate({"imagenet-b5": checkpoint, "bio-clinical-bert/tower": text_model}, download)
    model, tokenizer = build_mammo_clip(B5, files["bio-clinical-bert/tower"])
    notes = [UNALIGNED.format(seed=seed), *_fill_tower(model.image_tower, files["imagenet-b5"], weights)]
    notes += fill_bert(model.text_tower, files["bio-clinical-bert/tower"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for projection in (model.image_projection, model.text_projection):
            projection.reset_parameters()
    return ImageTextDissector("general", model, tokenizer, preprocess, aligned=False, notes=notes)


def _check_rest(rest: str) -> None:
    if rest:
        raise ValueError(f"'general/{rest}' is unknown: the general model is named 'general' alone")


def _fill_tower(tower: nn.Module, path: Path, weights: str | None) -> list[str]:
    """Load ImageNet weights, called as timm or as efficientnet_pytorch calls them, without their classifier; gives notes."""
    own = list(tower.state_dict())
    schemes = [{name: name for name in own}, {name: released_name(name, B5) for name in own}]
    return fill(tower, path, weights, schemes=schemes, unused=r"(classifier|_fc)\..*")
