"""Scores of a study's classifiers on their tasks (Table 2 of the paper)."""

from collections.abc import Mapping

import pandas as pd

from mdissect.models import Target, demo_folder, load_target, read_config
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.study.study import Study
from mdissect.train import evaluate

MEASURES = ("accuracy", "macro_f1", "auc")
HELD_OUT = "held_out"


@validated()
def classifier_scores(study: Study, tasks: Mapping[str, str]) -> pd.DataFrame:
    """Scores of the classifiers among a study's setups.

    A demo classifier stores its scores on held-out phantoms; any other is applied to its setup's probe, once: its
    scores are kept in the study's store.

    Parameters
    ----------
    tasks : mapping of setup to task
        Such as {"C3": "mass"}; setups that the study leaves out are left out here.

    Returns
    -------
    DataFrame
        A row per setup: setup, task, target, classes (how many), images, measured_on (which images; or why there are no
        scores), accuracy, macro_f1, auc, and <measure>_low and <measure>_high, their 95 % intervals; all NaN where the
        probe has no labels for the task.
    """
    return pd.DataFrame([_row(study, name, task) for name, task in tasks.items() if name in study.profile.setups])


@validated()
def in_words(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores as text: "0.912 (0.894 to 0.928)"; what could not be measured is left empty."""
    table = scores[["setup", "task", "target", "images", "measured_on"]].set_index("setup")
    for measure in MEASURES:
        cells = zip(*(scores[f"{measure}{end}"] for end in ("", "_low", "_high")), strict=True)
        words = [f"{value:.3f} ({low:.3f} to {high:.3f})" if pd.notna(value) else "" for value, low, high in cells]
        table[{"macro_f1": "macro F1", "auc": "AUC"}.get(measure, measure)] = words
    return table.rename(columns={"measured_on": "measured on"})


def _row(study: Study, name: str, task: str) -> dict:
    setup = study.profile.setups[name]
    row = {"setup": name, "task": task, "target": setup.target, "classes": 0, "images": 0}
    if (found := _carried(setup.target)) is not None:
        row["measured_on"] = "held-out images, told in its config"
    else:
        probe, target = study.probe(setup.probe), load_target(setup.target, **setup.target_options)
        known_by = (target.fingerprint, target.preprocess.key(), probe.key(), probe.table)
        measured = study.kept(_measured, ignore=["target", "probe"])
        found, row["measured_on"] = measured(task, known_by, target, probe)
    row |= {"classes": len(found.get("classes", ())), "images": found.get("n_images", 0)}
    for measure in MEASURES:
        low, high = found.get(f"{measure}_interval", (float("nan"),) * 2)
        row |= {measure: found.get(measure, float("nan")), f"{measure}_low": low, f"{measure}_high": high}
    return row


def _carried(spec: str) -> dict | None:
    """The held-out scores in the config of a demo model."""
    kind, _, name = spec.partition("/")
    return read_config(demo_folder(name)).get(HELD_OUT) if kind == "demo" else None


def _measured(task: str, known_by: tuple, target: Target, probe: Probe) -> tuple[dict, str]:
    """Scores on a probe and its name; or no scores, and why. `known_by` identifies target and probe of kept scores."""
    try:
        return evaluate(target, probe, task), f"the probe {probe.name}"
    except ValueError as error:
        return {}, f"not measured: {error}"
