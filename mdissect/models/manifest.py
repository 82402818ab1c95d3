"""Sets of files with weights from other sources: names, places, licences, where to get them. None ships with mdissect."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mdissect.paths import data_dir


@dataclass(frozen=True)
class WeightFile:
    """One file of a set: its possible names (it is fetched under the first), its path in the repository, its size.

    `optional`: other models of the family may do without it.
    """

    names: tuple[str, ...]
    source: str
    size: str
    optional: bool = False


@dataclass(frozen=True)
class WeightSet:
    """Files that belong together: given as the file if it is one, else as their folder."""

    what: str
    repository: str  # on the Hugging Face hub; empty where they are not published
    folder: str  # under data/weights/
    files: tuple[WeightFile, ...]
    licence: str
    access: str
    revision: str = "main"
    fetchable: bool = True  # one by one, as they are

    @property
    def place(self) -> Path:
        """The folder that the files belong in."""
        return data_dir() / "weights" / self.folder


def _mammo_clip(name: str, size: str, what: str) -> WeightSet:
    return WeightSet(
        what=what,
        repository="shawn24/Mammo-CLIP",
        folder="mammo-clip",
        files=(WeightFile((name,), f"Pre-trained-checkpoints/{name}", size),),
        licence="CC BY-NC-SA 4.0",
        access="open download",
    )


def _classifier(task: str, label: str) -> WeightSet:
    archive = "Downstream-checkpoints/Downstream_evalualtion_b5_fold0.zip"  # spelled so in the repository
    return WeightSet(
        what=f"Mammo-CLIP B5 fine-tuned for {label}",
        repository="shawn24/Mammo-CLIP",
        folder="mammo-classifier",
        files=(WeightFile((f"{task}.pth",), archive, "849 MB, all tasks"),),
        licence="CC BY-NC-SA 4.0",
        access=f"open download; unpack it and copy the .pth for {label} from classification/Models/Classifier/fine_tune/",
        fetchable=False,
    )


_BERT_TEXTS = (
    WeightFile(("config.json",), "config.json", "385 bytes"),
    WeightFile(("vocab.txt", "tokenizer.json"), "vocab.txt", "213 kB"),
)


def _bert(what: str, files: tuple[WeightFile, ...]) -> WeightSet:
    return WeightSet(what, "emilyalsentzer/Bio_ClinicalBERT", "bio-clinical-bert", files, "MIT", "open download")


_HUB_SETTINGS = (
    WeightFile(("config.json",), "config.json", "4 kB"),
    WeightFile(("preprocessor_config.json",), "preprocessor_config.json", "316 bytes"),
)


def _clip_files(tokenizer: str, weights: str) -> tuple[WeightFile, ...]:
    """The files of a CLIP of transformers, with the sizes of two of them."""
    return (
        *_HUB_SETTINGS,
        WeightFile(("tokenizer.json", "vocab.json"), "tokenizer.json", tokenizer),
        WeightFile(("pytorch_model.bin", "model.safetensors"), "pytorch_model.bin", weights),
    )


# Names of weights that open_clip looks for in a folder; the first is that of the published BiomedCLIP.
OPEN_CLIP_WEIGHTS = (
    "open_clip_pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
)

MANIFEST: Mapping[str, WeightSet] = {
    "mammo-clip/b5": _mammo_clip("b5-model-best-epoch-7.tar", "1.65 GB", "Mammo-CLIP with EfficientNet-B5"),
    "mammo-clip/b2": _mammo_clip("b2-model-best-epoch-10.tar", "1.4 GB", "Mammo-CLIP with EfficientNet-B2"),
    "mammo-classifier/density": _classifier("density", "density"),
    "mammo-classifier/mass": _classifier("mass", "mass"),
    "mammo-classifier/calcification": _classifier("calcification", "suspicious calcification"),
    "mammo-classifier/cancer": _classifier("cancer", "cancer (RSNA)"),
    "mammo-classifier/birads": WeightSet(
        what="Mammo-CLIP B5 fine-tuned for the BI-RADS category",
        repository="",
        folder="mammo-classifier",
        files=(WeightFile(("birads.pth",), "", "about 120 MB"),),
        licence="that of Mammo-CLIP",
        access="not published: fine-tune Mammo-CLIP on the BI-RADS categories of VinDr-Mammo, or ask the study's authors",
        fetchable=False,
    ),
    "bio-clinical-bert": _bert("BioClinicalBERT's configuration and vocabulary", _BERT_TEXTS),
    "bio-clinical-bert/tower": _bert(
        "BioClinicalBERT",
        (*_BERT_TEXTS, WeightFile(("pytorch_model.bin", "model.safetensors"), "pytorch_model.bin", "436 MB")),
    ),
    "imagenet-b5": WeightSet(
        what="EfficientNet-B5 trained on ImageNet",
        repository="timm/tf_efficientnet_b5.aa_in1k",
        folder="imagenet",
        files=(WeightFile(("tf_efficientnet_b5.aa_in1k.safetensors",), "model.safetensors", "122 MB"),),
        licence="Apache 2.0",
        access="open download",
    ),
    "clip": WeightSet(
        what="CLIP ViT-B/16",
        repository="openai/clip-vit-base-patch16",
        folder="clip-vit-base-patch16",
        files=_clip_files("2.2 MB", "599 MB"),
        licence="MIT",
        access="open download",
    ),
    "clip/pubmed": WeightSet(
        what="PubMedCLIP ViT-B/32",
        repository="flaviagiammarino/pubmed-clip-vit-base-patch32",
        folder="pubmed-clip-vit-base-patch32",
        files=_clip_files("about 2 MB", "about 605 MB"),
        licence="that of its page",
        access="open download",
    ),
    "siglip": WeightSet(
        what="MedSigLIP, or any SigLIP of fixed resolution",
        repository="google/medsiglip-448",
        folder="medsiglip-448",
        files=(
            *_HUB_SETTINGS,
            WeightFile(("tokenizer.json",), "tokenizer.json", "about 2 MB"),
            WeightFile(("tokenizer_config.json", "special_tokens_map.json"), "tokenizer_config.json", "a few kB"),
            WeightFile(("model.safetensors", "pytorch_model.bin"), "model.safetensors", "3.5 GB"),
        ),
        licence="Health AI Developer Foundations terms",
        access="after accepting the terms on its page",
    ),
    "open_clip": WeightSet(
        what="BiomedCLIP, or any model of open_clip",
        repository="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        folder="biomedclip",
        files=(
            WeightFile(("open_clip_config.json",), "open_clip_config.json", "1 kB"),
            WeightFile(OPEN_CLIP_WEIGHTS, "open_clip_pytorch_model.bin", "784 MB"),
            WeightFile(("tokenizer.json", "vocab.txt"), "tokenizer.json", "about 700 kB", optional=True),
            WeightFile(("tokenizer_config.json",), "tokenizer_config.json", "a few kB", optional=True),
        ),
        licence="MIT",
        access="open download",
    ),
    "mammo-fm": WeightSet(
        what="Mammo-FM",
        repository="batmanLab/Mammo-FM",
        folder="mammo-fm",
        files=(
            WeightFile(
                ("Mammo-FM_BatmanlabTrained_CLIP.tar", "Mammo-FM_ASU_Trained_CLIP.tar"),
                "Mammo-FM_BatmanlabTrained_CLIP.tar",
                "a few GB",
            ),
        ),
        licence="its own: academic research only, not to be passed on",
        access="as its page says",
    ),
    "modernbert": WeightSet(
        what="ModernBERT-base's configuration and tokenizer",
        repository="answerdotai/ModernBERT-base",
        folder="modernbert-base",
        files=(
            WeightFile(("config.json",), "config.json", "1 kB"),
            WeightFile(("tokenizer.json",), "tokenizer.json", "2.1 MB"),
        ),
        licence="Apache 2.0",
        access="open download",
    ),
}
