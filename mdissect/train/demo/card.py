"""Model cards of the demo: training data, training and held-out scores of each model and classifier."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from mdissect.files import write_atomically
from mdissect.train.demo.names import Name
from mdissect.train.demo.trainer import Trainer
from mdissect.train.finetune import Finetuned
from mdissect.train.recipe import Recipe

PURPOSE = {
    "mammo": "Image-text model of mammogram phantoms and reports: the demo's Mammo-CLIP, as target (M) and dissector.",
    "clip": "Image-text model of procedural scenes and their captions: the demo's CLIP, a dissector of natural images.",
    "general": "The same CNN trained to name what procedural scenes show: the demo's ImageNet network, as target (G). "
    "Its text tower is that of demo/mammo and its projections are random: its two towers were never "
    "aligned, so its similarities to texts mean nothing, as those of the paper's G.",
}
LOSSES = {
    "image-text": "contrastive, between views and texts of breasts; every text that is true of an image is a positive",
    "image-image": "contrastive, between two views of a breast",
    "text-text": "contrastive, between two texts of a breast",
    "facts": "naming the facts of an image from its pooled features (a linear layer, not shipped)",
    "places": "locating each boxed finding on the last map (a 1 x 1 convolution, not shipped)",
}
DISCLAIMER = (
    "Not for any clinical use: it was trained on generated images only. Weights and data were made by this project "
    "(Apache-2.0); `python -m mdissect pretrain` makes them again."
)
INTERVALS = "Intervals: 95 %, bootstrap over patients."
GAPS = (
    "Two gaps are planted for the dissection to find: the training images and reports contain no architectural "
    "distortion, and no report says whether an implant is filled with saline or silicone."
)
BESIDE = {
    True: "Facts and places come from the generator's own truth, so the image tower is not trained on reports alone. The "
    "filling of implants is not among them: no loss is told of it.",
    False: "It was trained on reports alone: no loss knows more of an image than what texts say of its breast.",
}
VARIANTS = {
    "reports": "A variant without the losses on facts and places.",
    "published": "A variant with two views and two texts of a breast, and the published weights of the losses between them.",
    "views": "A variant with two views and two texts of a breast, and a tenth of the losses between views and between texts.",
    "pairs": "A variant with two views and two texts of a breast, without losses between views or between texts.",
}
READING = {
    "mammo": "Zero-shot: AUC of the similarity to the finding's text, minus the similarity to its denial where there is "
    "one. The gaps should be near 0.5. `report found within k`: share of images whose own report is among the k most "
    "similar of all.",
    "clip": "Zero-shot: mean AUC, one value of a family against all others, by the similarity to its plainest caption.",
    "general": "Mean AUC, one value of a family against all others, by the linear layer that names facts.",
}


def write_model_card(
    path: Path, name: Name, trainer: Trainer, scores: Mapping[str, float], ranges: Mapping[str, tuple], n_held_out: int
) -> None:
    """Write the card (Markdown) of a trained model; `ranges` are the intervals of its scores."""
    recipe, progress = trainer.recipe, trainer.progress
    first, last = progress.history[0], progress.history[-1]
    foreign = (
        f'Every second concept of the domain "{recipe.foreign_domain}" of the shipped set was used in training as true of no '
        "image; the text tower has never seen the other half."
    )
    seed, base = recipe.contrastive.seed, name.base
    _write(
        path,
        f"# demo/{name}",
        PURPOSE[base],
        *([VARIANTS[name.variant]] if name.variant else []),
        *([f"A replicate of the shipped model's training, from seed {seed}."] if name.seed is not None else []),
        DISCLAIMER,
        "## Data",
        f"World `{trainer.world.name}`: {len(trainer.world)} images drawn from a fixed seed.",
        *([f"{GAPS} {BESIDE[bool(recipe.fact_weight or recipe.place_weight)]}"] if base == "mammo" else []),
        *([foreign] if recipe.foreign_texts else []),
        "## Recipe",
        f"{len(progress.history)} epochs in {progress.seconds / 60:.0f} minutes on a CPU, seed {seed}; towers in "
        f"{recipe.contrastive.precision}.",
        _table(("setting", "value"), recipe.settings().items()),
        _table(
            ("loss", "value in the first epoch", "in the last", "what it is"),
            [(key, f"{first[key]:.3f}", f"{last[key]:.3f}", LOSSES[key]) for key in LOSSES if key in last],
        ),
        f"## Held-out scores ({n_held_out} images of another seed)",
        f"{READING[base]} {INTERVALS}",
        _table(("what", "score", "interval"), [(key, f"{value:.3f}", _range(*ranges[key])) for key, value in scores.items()]),
    )


def write_classifier_card(
    path: Path, base: str, tuned: Finetuned, scores: Mapping, recipe: Recipe, training: str, held_out: str
) -> None:
    """Write the card (Markdown) of a classifier, named as its folder; `training` and `held_out` describe the images."""
    metrics, history, classes, name = tuned.metrics, tuned.history, tuned.task.classes, path.parent.name
    best = history.iloc[metrics["best epoch"] - 1]
    settings = {key: value for key, value in asdict(recipe).items() if key != "augment"} | asdict(recipe.augment)
    _write(
        path,
        f"# demo/{name}",
        f"{base}'s image tower with one linear layer, fine-tuned to tell {tuned.task.name} "
        f"({', '.join(classes)}) of mammogram phantoms: the demo's {name}. A target; no text tower, no dissector.",
        DISCLAIMER,
        "## Data",
        f"{training}, labels from the generator; "
        "the epoch was chosen on validation images of other patients. Images per class:",
        _table(("part", *classes), [(part, *metrics["images"][part].values()) for part in ("training", "validation")]),
        "## Recipe",
        f"{metrics['epochs']} epochs in {metrics['seconds'] / 60:.1f} minutes on a CPU; the weights are those of epoch "
        f"{metrics['best epoch']} (validation AUC {best['validation_auc']:.3f}, macro F1 {best['validation_macro_f1']:.3f}). "
        f"Training loss {history['training_loss'].iloc[0]:.3f} in the first epoch, "
        f"{history['training_loss'].iloc[-1]:.3f} in the last.",
        _table(("setting", "value"), settings.items()),
        f"## Held-out scores ({scores['n_images']} {held_out}, {scores['n_patients']} patients)",
        f"{INTERVALS} `commonest`: the score of always predicting the commonest class.",
        _table(("what", "score", "interval", "commonest"), [_scored(what, scores) for what in ("auc", "accuracy", "macro_f1")]),
        "True class by row, predicted by column:",
        _table(("", *classes), [(true, *counts) for true, counts in zip(classes, scores["confusion"], strict=True)]),
    )


def _scored(what: str, scores: Mapping) -> tuple[str, ...]:
    commonest = scores["majority"].get(what, 0.5)
    return what.replace("_", " "), f"{scores[what]:.3f}", _range(*scores[f"{what}_interval"]), f"{commonest:.3f}"


def _range(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _table(head: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A Markdown table."""
    lines = (f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows))
    return "\n".join(lines)


def _write(path: Path, *paragraphs: str) -> None:
    write_atomically(path, ("\n\n".join(paragraphs) + "\n").encode())
