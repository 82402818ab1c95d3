"""What notebook 09 shows: a small pretraining, models evaluated, and where Mammo-FActOR and labelled neurons point."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE
from mdissect.models import demo_folder, files_digest
from mdissect.probes import Probe, load_probe
from mdissect.signatures import validated
from mdissect.study.study import DEMO_MODELS, Study

SMALL_SIZE = (128, 80)
SMALL_TOWER = "timm/resnet10t"
EMBED_DIM = 64
EDGES = ("xmin", "ymin", "xmax", "ymax")
PARTS = ("zero-shot", "retrieval", "linear probe")


@dataclass(frozen=True)
class Seen:
    """Where findings are seen in images, for a figure. Made by `localised`.

    Attributes
    ----------
    findings : list of str
    image_ids : list of str
        An image for each finding.
    boxes : list of list of dict
        Of the finding in that image: xmin, ymin, xmax, ymax in pixels.
    heats : list of float32 arrays (2, height, width)
        In that image, by Mammo-FActOR and by the neurons that dissection labels with the finding; NaN where there are none.
    table : DataFrame
        Of `mdissect.localize.compare_localisation`, over all images that have boxes.
    """

    findings: list[str]
    image_ids: list[str]
    boxes: list[list[dict]]
    heats: list[np.ndarray]
    table: pd.DataFrame


@validated(n=AT_LEAST_ONE)
def studies_shown(probe: Probe, n: int = 2, seed: int = 0) -> list[dict]:
    """The first studies of a probe that have two views and a finding: images (positions of the views), texts (two of them)."""
    from mdissect.train.studies import read_studies

    studies, rng, found = read_studies(probe), np.random.default_rng(seed), []
    findings = probe.table.findings.fillna("") if "findings" in probe.table else pd.Series("", index=probe.table.index)
    for study, images in enumerate(studies.images):
        if len(images) > 1 and findings.iloc[images[0]]:
            views = [int(one) for one in studies.views(study, 2, rng)]
            found.append({"images": views, "texts": [text.text for text in studies.texts(study, 2, rng)]})
        if len(found) == n:
            break
    return found


@validated(epochs=AT_LEAST_ONE)
def small_pretraining(study: Study, probe: Probe, epochs: int = 4, seed: int = 0) -> pd.DataFrame:
    """The losses of a pretraining that takes seconds, of a small network on small images (`train.Pretrained.history`)."""
    return study.kept(_pretrained, ignore=["probe"])(probe.key(), probe.table, epochs, seed, probe)


@validated()
def evaluated(study: Study, models: Sequence[str], setup: str = "M") -> dict[str, pd.DataFrame]:
    """`mdissect.evaluate.evaluate_dissector` of demo models that are there, on the probe of a setup: a table for each.

    Zero-shot classification, retrieval, and the linear probe with 10, 50 and 100 % of the training patients.
    """
    probe, found = study.probe(study.profile.setups[setup].probe), {}
    for model in models:
        name = model.removeprefix(DEMO_MODELS)
        try:
            demo_folder(name)
        except ValueError:
            continue
        keep = study.kept(_evaluated, ignore=["probe", "store"])
        found[model] = keep(model, files_digest(name), probe.key(), probe.table, probe, study.store)
    return found


@validated(epochs=AT_LEAST_ONE)
def localised(
    study: Study,
    findings: Sequence[str],
    training: str = "phantom",
    training_options: dict | None = None,
    epochs: int = 5,
    setup: str = "M",
) -> Seen:
    """Mammo-FActOR trained on a probe of its own, and how well it and labelled neurons point at findings in a setup's probe.

    Parameters
    ----------
    training, training_options
        As `load_probe` takes them: labelled images of other patients than those of the setup's probe.
    """
    keep = study.kept(_localised, ignore=["study"])
    return keep(study, study.identity(), setup, list(findings), training, dict(training_options or {}), epochs)


def _pretrained(key: str, table: pd.DataFrame, epochs: int, seed: int, probe: Probe) -> pd.DataFrame:
    from mdissect.models import new_model
    from mdissect.preprocess import Preprocess
    from mdissect.train import ContrastiveRecipe, Running, pretrain
    from mdissect.train.studies import corpus, read_studies

    texts = corpus(read_studies(probe), 500, seed)
    preprocess = Preprocess(SMALL_SIZE, "image", mean=0.2, std=0.25, orient="left")
    model = new_model(SMALL_TOWER, "small", texts=texts, preprocess=preprocess, embed_dim=EMBED_DIM, seed=seed)
    recipe = ContrastiveRecipe(epochs=epochs, batch_size=16, learning_rate=1e-3, warmup_steps=10, seed=seed)
    with TemporaryDirectory() as folder:
        return pretrain(model, probe, folder, "labels", recipe, Running(progress=False, device="cpu")).history


def _evaluated(model: str, files: str, key: str, table: pd.DataFrame, probe: Probe, store: Path) -> pd.DataFrame:
    from mdissect.evaluate import EvaluationOptions, evaluate_dissector
    from mdissect.models import load_dissector
    from mdissect.train import Running

    options = EvaluationOptions(parts=PARTS)
    return evaluate_dissector(load_dissector(model), probe, options, store=store, running=Running(progress=False)).table


def _localised(
    study: Study, key: object, setup: str, findings: list[str], training: str, training_options: dict, epochs: int
) -> Seen:
    from mdissect.localize import compare_localisation
    from mdissect.models import load_target
    from mdissect.train import FactorRecipe, Running, train_factor

    own = study.profile.setups[setup]
    probe, target = study.probe(own.probe), load_target(own.target, **own.target_options)
    labelled, labels = load_probe(training, **training_options), study.dissect(setup).labels()
    with TemporaryDirectory() as folder:
        running, recipe = Running(progress=False), FactorRecipe(epochs=epochs)
        factor = train_factor(target, study.dissector(setup), labelled, folder, findings, recipe, running, study.store)
    table = compare_localisation(factor, probe, labels, findings, store=study.store)
    return _shown(factor, probe, labels[labels.layer == factor.layer], findings, table)


def _shown(factor, probe: Probe, labels: pd.DataFrame, findings: list[str], table: pd.DataFrame) -> Seen:
    """The first image with a box of each finding, and what both ways see in it."""
    from mdissect.localize import heatmaps, of_finding

    ids, boxes, heats = [], [], []
    every = [probe.boxes(position) for position in range(len(probe))]
    for finding in findings:
        position = next(i for i, own in enumerate(every) if of_finding(own, finding))
        image = probe[position]
        by_neurons = _by_neurons(factor, image, labels, finding)
        heats.append(np.stack([heatmaps(factor, [image], finding).maps[0], by_neurons]).astype(np.float32))
        ids.append(probe.ids[position])
        boxes.append([{edge: float(box[edge]) for edge in EDGES} for box in of_finding(every[position], finding)])
    return Seen(findings, ids, boxes, heats, table)


def _by_neurons(factor, image: np.ndarray, labels: pd.DataFrame, finding: str) -> np.ndarray:
    """The mean map of the neurons labelled with a finding (height, width), each on its scale; NaN where there are none."""
    from mdissect.localize import activation_maps, upsample
    from mdissect.localize.comparison import N_NEURONS, naming

    neurons = naming(labels, finding, N_NEURONS)
    if not len(neurons):
        return np.full(image.shape[:2], np.nan, np.float32)
    maps = activation_maps(factor.target, factor.layer, [image])[0][neurons]
    return upsample((maps / factor.mapper.spread.numpy()[neurons][:, None, None]).mean(axis=0), image.shape[:2])
