"""Small image-text models with random weights in the form of SigLIP, open_clip and Mammo-FM; the hub's cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from miniature_models import B2, LETTERS
from safetensors.torch import save_file

from mdissect.models import released_name
from mdissect.models.efficientnet import build_tower
from mdissect.models.mammo_fm import MlpProjection

NARROW = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
SIDE, LENGTH = 32, 24
WORDS = ("mass", "oval", "calcification")


def stirred(model: torch.nn.Module, seed: int = 0, amount: float = 0.3) -> torch.nn.Module:
    """The model in eval mode, its weights far from their tiny initial values, so that texts and images differ."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * amount)
    return model.eval()


def edit(path: Path, **changes) -> None:
    """Change fields of a JSON file; None takes one out."""
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def siglip_folder(folder: Path, second: bool = False, seed: int = 0):
    """A SigLIP (or SigLIP 2 of fixed resolution) as the hub has it, and transformers' model."""
    from transformers import SiglipConfig, SiglipModel

    folder.mkdir()
    size = siglip_tokenizer(folder, second)
    text = {"vocab_size": size, "max_position_embeddings": LENGTH, "num_hidden_layers": 2, "projection_size": 16}
    vision = {"image_size": SIDE, "patch_size": 8, "num_hidden_layers": 4}
    config = SiglipConfig(text_config=NARROW | text, vision_config=NARROW | vision)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = stirred(SiglipModel(config), seed)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    prepared = {"size": {"height": SIDE, "width": SIDE}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    save_file(model.state_dict(), folder / "model.safetensors")
    return model


def siglip_tokenizer(folder: Path, second: bool = False) -> int:
    """The tokenizer of a SigLIP, which spells every word, in a folder; gives its number of entries."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    if second:  # as Gemma's: nothing is lower-cased
        pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *LETTERS, *LETTERS[:26].upper()]
        tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        named = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "bos_token": "<bos>"}
        eos, unk = "<eos>", "<unk>"
    else:
        pieces = ["<pad>", "</s>", "<unk>", "▁", *LETTERS, *(f"▁{word}" for word in WORDS)]
        tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        named = {"tokenizer_class": "SiglipTokenizer", "pad_token": {"content": "</s>"}}
        eos, unk = "</s>", "<unk>"
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {eos}", special_tokens=[(eos, 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named | {"eos_token": eos, "unk_token": unk}))
    return len(pieces)


VIT = {"image_size": SIDE, "patch_size": 8, "width": 32, "head_width": 16, "layers": 4}
TEXT = {"context_length": 16, "width": 16, "heads": 2, "layers": 2}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}
TIMM = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "timm_proj": "linear", "image_size": 224}
SQUASH = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
HF_TEXT = {
    "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "hf_proj_type": "mlp",
    "hf_pooler_type": "cls_last_hidden_state_pooler",
    "context_length": 20,
}


def open_clip_folder(folder: Path, vision=VIT, text=TEXT, safe: bool = True, prepared=None, **config):
    """A folder as open_clip has it, its model read back by the library itself; text towers of transformers lie in text/."""
    import open_clip

    folder.mkdir()
    if text.get("hf_tokenizer_name") == "siglip":
        siglip_tokenizer(folder)
        edit(folder / "tokenizer_config.json", tokenizer_class="T5Tokenizer", extra_ids=0, pad_token="</s>")
    model = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": dict(text)} | config
    if "hf_model_name" in text:
        bert_folder(folder)
        model["text_cfg"]["hf_model_name"] = str(folder / "text")
    settings = {"model_cfg": model} | ({} if prepared is None else {"preprocess_cfg": prepared})
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False, pretrained_image=False)
    stirred(made, amount=0.05)
    if safe:
        save_file({name: one.contiguous() for name, one in made.state_dict().items()}, folder / "open_clip_model.safetensors")
    else:
        torch.save(
            {"state_dict": {f"module.{n}": v for n, v in made.state_dict().items()}}, folder / "open_clip_pytorch_model.bin"
        )
    library = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    if "hf_model_name" in text:  # as published: a name of the hub
        settings["model_cfg"]["text_cfg"] = dict(text)
        (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return library, tokenizer


def bert_folder(folder: Path) -> None:
    """BERT's tokenizer in a folder, the settings of its tower in the subfolder text/."""
    from transformers import BertConfig

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    named = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    (folder / "text").mkdir()
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=32, num_hidden_layers=1, **NARROW)
    (folder / "text" / "config.json").write_text(json.dumps(config.to_dict()))


def modernbert_folder(folder: Path) -> Path:
    """config.json and tokenizer.json of a small ModernBERT."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig

    folder.mkdir()
    pieces = [*LETTERS, "Ġ", *WORDS, "[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, []))
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"cls_token_id": ids["[CLS]"], "bos_token_id": ids["[CLS]"], "sep_token_id": ids["[SEP]"]}
    special |= {"eos_token_id": ids["[SEP]"], "pad_token_id": ids["[PAD]"]}
    config = ModernBertConfig(vocab_size=len(pieces), num_hidden_layers=4, local_attention=8, **NARROW, **special)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return folder


def mammo_fm_tar(path: Path, texts: Path, head: str = "linear", prefix: str = "text_encoder.", **config):
    """A checkpoint as Mammo-FM's code writes it, its image tower of Mammo-CLIP's smaller kind; and its parts."""
    from transformers import ModernBertConfig, ModernBertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = build_tower(B2).eval()
        text = stirred(ModernBertModel(ModernBertConfig.from_dict(json.loads((texts / "config.json").read_text()))), 1)
        made = MlpProjection if head == "mlp" else torch.nn.Linear
        image_head, text_head = stirred(made(B2.features, 6), 2, 0.1), stirred(made(16, 6), 3, 0.1)
    state = {"logit_scale": torch.tensor(2.659), "image_encoder._fc.weight": torch.zeros(1, B2.features)}
    state |= {f"image_encoder.{released_name(name, B2)}": one for name, one in tower.state_dict().items()}
    state |= {f"{prefix}{name}": one for name, one in text.state_dict().items()}
    inner = "" if head == "mlp" else "projection."
    state |= {f"image_projection.{inner}{name}": one for name, one in image_head.state_dict().items()}
    state |= {f"text_projection.{inner}{name}": one for name, one in text_head.state_dict().items()}
    model = {"text_encoder": {"source": "ft", "pooling": "eos"}, "projection_head": {"name": head, "proj_dim": 6}}
    written = {"model": model, "base": {"text_max_length": 60}} | config
    torch.save({"model": state, "optimizer": {"state": {}}, "config": written, "epoch": 9, "train_loss": 0.5}, path)
    return tower, text, image_head, text_head


def in_the_cache(folder: Path, cache: Path, repository: str) -> Path:
    """A folder's files as a snapshot in the hub's cache."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0123")
    return Path(shutil.copytree(folder, place / "snapshots" / "0123"))
