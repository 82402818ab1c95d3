"""Models with random weights: tiny demo models, and in the form of the published files Mammo-CLIP B5, its classifiers,
the general model and CLIP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mdissect.models import WordPieceTexts, build_image_text, default_config, released_name, save_demo
from mdissect.models.efficientnet import VARIANTS, build_tower
from mdissect.models.mammo_clip import build_mammo_clip

B2, B5 = VARIANTS["b2"], VARIANTS["b5"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-/'.,"
CLASSES = {"density": 4, "birads": 5, "mass": 1, "calcification": 1}
START, END = "<|startoftext|>", "<|endoftext|>"


def demo_config(vocab_size: int, **changes) -> dict:
    """The config.json of a tiny demo model."""
    config = default_config(vocab_size)
    config["image"] |= {"stages": [["cn_r1_k3_s2_e1_c8"], ["er_r1_k3_s2_e2_c16"]], "stem": 8, "features": 24}
    config["text"] |= {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16}
    preprocess = {"size": [64, 48], "scale": "image", "mean": 0.2, "std": 0.25}
    return config | {"embed_dim": 12, "preprocess": preprocess, "layers": ["blocks.0", "bn2"], "aligned": True} | changes


def demo_models(folder: Path, *names: str, texts: Sequence[str] = ("oval mass", "no mass"), **changes):
    """Tiny demo models in a folder, of seed 0, 1, ..., and their tokenizer; gives the last model and the config."""
    tokenizer = WordPieceTexts.train(texts, vocab_size=60)
    config = demo_config(tokenizer.vocab_size, **changes)
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        save_demo(model := build_image_text(config).eval(), folder / name, config)
    tokenizer.save(folder)
    return model, config


def text_model(folder: Path) -> Path:
    """A folder as that of Bio_ClinicalBERT, whose vocabulary spells every word."""
    from transformers import BertConfig, BertModel

    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=64, **shape)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    save_file(BertModel(config, add_pooling_layer=False).state_dict(), folder / "model.safetensors")
    return folder


def mammo_clip_tar(path: Path, texts: Path, variant=B5) -> Path:
    """A Mammo-CLIP under the names of the published files, in half precision to spare the disk."""
    model, _ = build_mammo_clip(variant, texts)
    state = {"logit_scale": model.logit_scale.data}
    for name, tensor in model.state_dict().items():
        tower, _, rest = name.partition(".")
        if tower == "image_tower":
            state[f"image_encoder.{released_name(rest, variant)}"] = _half(tensor)
        elif tower == "text_tower":
            state[f"text_encoder.text_encoder.{rest}"] = tensor
        elif rest:
            state[f"{tower}.projection.{rest}"] = tensor
    torch.save({"model": state, "config": {"model": {"name": "clip_custom"}}}, path)
    return path


def classifier_pth(path: Path, mammo_clip: Path, task: str, seed: int) -> Path:
    """The image tower of a Mammo-CLIP checkpoint, a little changed, with a linear layer, as published classifiers are kept."""
    state = torch.load(mammo_clip, weights_only=True)["model"]
    tower = {name: tensor for name, tensor in state.items() if name.startswith("image_encoder.")}
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in tower.items():
        if name.endswith("_project_conv.weight"):
            tower[name] = tensor * torch.empty(len(tensor), 1, 1, 1).uniform_(0.5, 1.5, generator=rng).half()
    head = {"weight": torch.randn(CLASSES[task], B5.features, generator=rng), "bias": torch.zeros(CLASSES[task])}
    tower |= {f"classifier.classification_head.{name}": tensor for name, tensor in head.items()}
    torch.save({"model": tower, "epoch": 29, "optimizer": {"state": {}}}, path)
    return path


def imagenet_tower(path: Path) -> Path:
    """An EfficientNet-B5 under timm's names."""
    save_file({name: _half(tensor) for name, tensor in build_tower(B5).state_dict().items()}, path)
    return path


def clip_folder(folder: Path) -> Path:
    """A CLIP as the hub has it, with few layers and a vocabulary that spells every word."""
    from transformers import CLIPConfig, CLIPModel

    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), START, END]
    n = len(pieces)
    text = {"vocab_size": n, "bos_token_id": n - 2, "eos_token_id": n - 1, "max_position_embeddings": 77}
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    vision = narrow | {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=narrow | text, vision_config=vision, projection_dim=8)
    return write_clip(folder, CLIPModel(config), {piece: i for i, piece in enumerate(pieces)})


def write_clip(folder: Path, model, vocabulary: dict[str, int], merges: str = "#version: 0.2\n", **further: Tensor) -> Path:
    """A CLIP of transformers as the hub has it; `further` weights are kept beside its own."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text(merges)
    means = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "resample": 3, "size": 224, "crop_size": 224}
    (folder / "preprocessor_config.json").write_text(json.dumps(means))
    torch.save(model.state_dict() | further, folder / "pytorch_model.bin")
    return folder


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
