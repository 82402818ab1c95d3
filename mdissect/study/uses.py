"""Which named neurons a study's classifiers use: what each task loses without those of a category."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.models import Target, load_target
from mdissect.predictions import AblationOptions, NoLabelError, ablate_groups
from mdissect.predictions.ablation import COLUMNS, GROUPED
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.study.study import Study


@validated(by=GROUPED)
def used_categories(
    study: Study,
    tasks: Mapping[str, str],
    by: str | None = None,
    options: AblationOptions | None = None,
    probe: Probe | None = None,
) -> pd.DataFrame:
    """What the classifiers among a study's setups lose without the neurons of each category.

    >>> used_categories(study, {"C3": "mass", "C4": "calcification"})                             # doctest: +SKIP

    Parameters
    ----------
    tasks : mapping of setup to task
        Such as {"C3": "mass"}; setups that the study leaves out are left out here.
    by : {"task", "category", "broad_category"}
        "task" when None, "category" where the concept set names no tasks.
    options : AblationOptions, optional
    probe : Probe, optional
        Images with the tasks' labels, which no classifier was trained on; by default each setup's own probe,
        on which its neurons were labelled (see `mdissect.predictions.ablate`).

    Returns
    -------
    DataFrame
        setup, task, by (the grouping), then the columns of `mdissect.predictions.ablate_groups`, n_images and n_patients; own:
        whether the group is the classifier's own task. Kept in the study's store. Without rows of a classifier none of whose
        neurons has a label.
    """
    options, parts = options or AblationOptions(), []
    run = replace(options.run, progress=study.pass_options.progress, workers=study.pass_options.workers)
    for name, task in tasks.items():
        if name in study.profile.setups:
            setup, found = study.profile.setups[name], study.dissect(name)
            target, images = load_target(setup.target, **setup.target_options), probe or study.probe(setup.probe)
            known_by = (target.fingerprint, target.preprocess.key(), images.key(), images.table, found.labels(), found.layers)
            stated = {key: value for key, value in vars(options).items() if key != "run"}
            measured = study.kept(_used, ignore=["target", "dissection", "probe", "options"])
            kind = by or ("task" if _names_tasks(found.concepts) else "category")
            try:
                table = measured(task, kind, (known_by, stated), target, found, images, replace(options, run=run))
            except NoLabelError:
                table = pd.DataFrame(columns=[*COLUMNS, "q", "task", "own", "n_images", "n_patients", "n_random"])
            parts.append(table.assign(setup=name, by=kind))
    if not parts:
        raise ValueError(f"none of the setups {', '.join(tasks) or '(none named)'} is in the study; it has "
                         f"{', '.join(study.profile.setups)}")  # fmt: skip
    first = ["setup", "task", "by"]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[[*first, *(column for column in table if column not in first)]]


def _names_tasks(concepts: ConceptSet) -> bool:
    return "tasks" in concepts.table and bool((concepts.table.tasks.fillna("") != "").any())


def _used(
    task: str, by: str, known_by: tuple, target: Target, dissection: Dissection, probe: Probe, options: AblationOptions
) -> pd.DataFrame:
    """One classifier's rows. `known_by` identifies target, dissection, probe and options of a kept table."""
    table = ablate_groups(target, dissection, probe, task, by, options)
    counts = {name: table.attrs[name] for name in ("n_images", "n_patients", "n_random")}
    own = (table.group == table.attrs["task"]) if by == "task" else False
    found = table.assign(task=task, own=own, **counts)
    found.attrs = {}
    return found
