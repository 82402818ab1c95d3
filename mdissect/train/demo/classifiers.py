"""The demo's classifiers with their cards: demo/mammo, fine-tuned.

Phantoms are drawn from fixed seeds, other ones than those of demo/mammo; a run that was stopped goes on where it was.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from mdissect.models import demo_folder, read_config, save_demo_classifier
from mdissect.probes import Probe, load_probe
from mdissect.train.finetune import Finetuned, evaluate, finetune
from mdissect.train.metrics import summary
from mdissect.train.recipe import Augment, Recipe, Running

BASE = "mammo"
CLASSIFIERS = {"C1": "density", "C2": "birads", "C3": "mass", "C4": "calcification"}
# The study's recipe suits a net of 28 million weights; this one has 0.3 million: other rates, larger batches, fewer epochs.
RECIPE = Recipe(
    epochs=6,
    batch_size=32,
    learning_rate=1e-3,
    head_learning_rate=4e-3,
    weight_decay=0.02,
    warmup_steps=50,
    max_grad_norm=1.0,
    balance="all",
    precision="bfloat16",
    augment=Augment(flips=("vertical",), degrees=0, shift=0, scale=(1, 1), shear=0, elastic_alpha=0),
    test_fraction=0.0,
    patience=0,
)
TRAINING_SEED, HELD_OUT_SEED = 3, 2  # demo/mammo was trained on seed 1
TRAINING_IMAGES, HELD_OUT_IMAGES = 4000, 1000


def make_classifiers(names: Iterable[str], output: Path, cache: Path) -> None:
    """Fine-tune the classifiers named and write them into `output`; drawn images and training states stay in `cache`.

    Raises
    ------
    ValueError
        There is no demo/mammo to start from.
    """
    demo_folder(BASE)
    training = load_probe("phantom", n_images=TRAINING_IMAGES, seed=TRAINING_SEED, cache=cache)
    held_out = load_probe("phantom", n_images=HELD_OUT_IMAGES, seed=HELD_OUT_SEED, cache=cache)
    for name in names:
        make(name, training, held_out, output, cache / "finetuning")


def make(name: str, training: Probe, held_out: Probe, output: Path, work: Path, recipe: Recipe = RECIPE) -> dict:
    """Fine-tune one classifier, write it and its card; returns its scores on the held-out images."""
    tuned = finetune(f"demo/{BASE}", training, CLASSIFIERS[name], work / name, recipe, Running())
    held_out.warm()
    scores = evaluate(tuned.target, held_out, tuned.task)
    save_demo_classifier(tuned.target.module, output / name, read_config(tuned.folder) | {"held_out": scores})
    write_card(output / name / "README.md", name, tuned, scores, recipe)
    print("\n".join(summary(tuned.metrics | {"held-out": scores})))
    return scores


def write_card(path: Path, name: str, tuned: Finetuned, scores: dict, recipe: Recipe) -> None:
    """Write the card (Markdown) of a classifier."""
    metrics, first, last = tuned.metrics, tuned.history.iloc[0], tuned.history.iloc[-1]
    best = tuned.history.iloc[metrics["best epoch"] - 1]
    settings = {key: value for key, value in asdict(recipe).items() if key != "augment"} | asdict(recipe.augment)
    lines = [
        f"# demo/{name}",
        "",
        f"demo/{BASE}'s image tower with one linear layer, fine-tuned to tell {tuned.task.name} "
        f"({', '.join(tuned.task.classes)}) of mammogram phantoms: the demo's {name}. A target; no text tower, no dissector.",
        "",
        "Not for any clinical use: it has seen computer drawings only. Weights and data were made by this project "
        "(Apache-2.0); `python -m mdissect pretrain` makes them again.",
        "",
        "## Data",
        "",
        f"{TRAINING_IMAGES} phantoms of seed {TRAINING_SEED}, labels from the generator's truth; the validation images, "
        "which chose the epoch, are of other patients. Images per class:",
        "",
        _row("part", *tuned.task.classes),
        _row(*["---"] * (1 + len(tuned.task.classes))),
        *(_row(part, *metrics["images"][part].values()) for part in ("training", "validation")),
        "",
        "## Recipe",
        "",
        f"{metrics['epochs']} epochs in {metrics['seconds'] / 60:.1f} minutes on a CPU; the weights are those of epoch "
        f"{metrics['best epoch']} (validation AUC {best['validation_auc']:.3f}, macro F1 {best['validation_macro_f1']:.3f}). "
        f"Training loss {first['training_loss']:.3f} in the first epoch, {last['training_loss']:.3f} in the last.",
        "",
        _row("setting", "value"),
        _row("---", "---"),
        *(_row(key, value) for key, value in settings.items()),
        "",
        f"## Held-out scores ({scores['n_images']} phantoms of seed {HELD_OUT_SEED}, {scores['n_patients']} patients)",
        "",
        "Intervals: 95 %, bootstrap over patients. `commonest`: what always naming the commonest class would score.",
        "",
        _row("what", "score", "interval", "commonest"),
        _row(*["---"] * 4),
        *(_score_row(what, scores) for what in ("auc", "accuracy", "macro_f1")),
        "",
        "True class by row, predicted by column:",
        "",
        _row("", *tuned.task.classes),
        _row(*["---"] * (1 + len(tuned.task.classes))),
        *(_row(true, *counts) for true, counts in zip(tuned.task.classes, scores["confusion"], strict=True)),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _score_row(what: str, scores: dict) -> str:
    low, high = scores[f"{what}_interval"]
    commonest = scores["majority"].get(what, 0.5)
    return _row(what.replace("_", " "), f"{scores[what]:.3f}", f"{low:.3f} to {high:.3f}", f"{commonest:.3f}")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
