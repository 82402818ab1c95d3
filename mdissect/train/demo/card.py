"""The model card of a demo model: what it was trained on, how, and what it can and cannot do, with the numbers."""

from dataclasses import asdict
from pathlib import Path

from mdissect.train.demo.trainer import Trainer

PURPOSE = {
    "mammo": "Image-text model of mammogram phantoms and reports: the demo's Mammo-CLIP, as target (M) and dissector.",
    "clip": "Image-text model of procedural scenes and their captions: the demo's CLIP, a dissector of natural images.",
    "general": "The same CNN trained to name what procedural scenes show: the demo's ImageNet network, as target (G). "
    "Its text tower is that of demo/mammo and its projections are random: as a dissector its two towers were never "
    "aligned, and its similarities to texts mean nothing, like those of the paper's G.",
}
LOSSES = {
    "texts": "contrastive, every text that is true of an image being its positive",
    "facts": "naming the facts of an image from its pooled features (a linear layer, not shipped)",
    "places": "saying where on the last map each boxed finding lies (a 1 x 1 convolution, not shipped)",
}


def write_card(path: Path, name: str, trainer: Trainer, scores: dict[str, float], n_held_out: int) -> None:
    """Write the card (Markdown) of a trained model."""
    recipe, last = trainer.recipe, trainer.losses[-1]
    lines = [
        f"# demo/{name}",
        "",
        PURPOSE[name],
        "",
        "Not for any clinical use: it has seen computer drawings only. Weights and data were made by this project "
        "(Apache-2.0); `python -m mdissect pretrain` makes them again.",
        "",
        "## Data",
        "",
        f"World `{trainer.world.name}`: {len(trainer.world)} images drawn from a fixed seed.",
        *(_gaps() if name == "mammo" else []),
        *(_foreign(recipe.foreign_domain) if recipe.foreign_texts else []),
        "",
        "## Recipe",
        "",
        f"{recipe.epochs} epochs in {trainer.seconds / 60:.0f} minutes on a CPU, seed {recipe.seed}; bfloat16 image tower.",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in asdict(recipe).items()),
        "",
        "| loss | value in the first epoch | in the last | what it is |",
        "|---|---|---|---|",
        *(f"| {key} | {trainer.losses[0][key]:.3f} | {last[key]:.3f} | {LOSSES[key]} |" for key in last),
        "",
        f"## Held-out scores ({n_held_out} images of another seed)",
        "",
        _reading(name),
        "",
        "| what | score |",
        "|---|---|",
        *(f"| {key} | {value:.3f} |" for key, value in scores.items()),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _foreign(domain: str) -> list[str]:
    return [
        "",
        f'Every second concept of the domain "{domain}" of the shipped set joined the training as true of no image; the '
        "other half the text tower never met.",
    ]


def _gaps() -> list[str]:
    return [
        "",
        "Two gaps are planted for the dissection to find: the training images and reports hold no architectural "
        "distortion, and no report says whether an implant is filled with saline or silicone. Facts and places come from "
        "the generator's own truth, so this model is not trained on reports alone.",
    ]


def _reading(name: str) -> str:
    if name == "general":
        return "Mean AUC, one value of a family against all others, by the layer that names facts."
    if name == "clip":
        return "Zero-shot: mean AUC, one value of a family against all others, by the similarity to its plainest caption."
    return (
        "Zero-shot: AUC of the similarity to the finding's text, minus that to its denial where there is one. The gaps should "
        "stand near 0.5. `report found within k`: how often an image finds its own report among all."
    )
