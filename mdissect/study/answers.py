"""Why the classifiers of a study answer as they do: their logits as sums over named neurons, for a probe and for one image."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE
from mdissect.models import load_target
from mdissect.predictions import Contributions, NoHeadError, contributions
from mdissect.signatures import validated
from mdissect.study.study import Study
from mdissect.train.tasks import read_labels


@dataclass(frozen=True)
class Answer:
    """A classifier's logit of its task's positive class over a probe.

    Attributes
    ----------
    setup, task : str
    found : Contributions
        Of the images that have a label of the task.
    present : (n_images,) bool
        Which images are of the positive class.
    image : int
        The image looked at, a position among these: of the positive class, with the largest logit.
    pixels : (height, width[, 3])
        That image.
    """

    setup: str
    task: str
    found: Contributions
    present: np.ndarray
    image: int
    pixels: np.ndarray

    @property
    def logit(self) -> str:
        """What the logit is called."""
        return f"logit of {self.task}"

    @validated(top=AT_LEAST_ONE)
    def waterfall(self, by: str = "concept", top: int = 9) -> pd.DataFrame:
        """`Contributions.waterfall` of the image looked at."""
        return self.found.waterfall(self.image, by, top)

    @validated(n_boot=AT_LEAST_ONE)
    def compared(self, by: str = "category", n_boot: int = 500) -> pd.DataFrame:
        """`Contributions.compared` of images of the positive class with the others."""
        return self.found.compared(self.present, by, n_boot)


@validated()
def explained(study: Study, tasks: Mapping[str, str]) -> tuple[dict[str, Answer], dict[str, str]]:
    """The answers of the classifiers of tasks with two classes, and why others cannot be explained.

    >>> answers, without = explained(study, {"C3": "mass", "C4": "calcification"})      # doctest: +SKIP

    Parameters
    ----------
    tasks : mapping of setup to task
        Setups that the study leaves out are left out here.

    Returns
    -------
    answers : dict of setup to Answer
        Contributions are kept in the study's store.
    without : dict of setup to str
        Of classifiers whose head no dissected layer feeds, or of tasks with more than two classes: the reason.
    """
    answers, without = {}, {}
    for name, task in tasks.items():
        if name not in study.profile.setups:
            continue
        setup = study.profile.setups[name]
        truth = read_labels(study.probe(setup.probe), task)
        if not truth.task.binary:
            without[name] = f"{task} has {len(truth.task.classes)} classes"
            continue
        images = study.probe(setup.probe).subset(truth.positions)
        target, one = load_target(setup.target, **setup.target_options), study.kept(contributions, ignore=["options"])
        try:
            found = one(target, study.dissect(name), images, options=study.pass_options)
        except NoHeadError as error:
            without[name] = str(error)
            continue
        found = found if found.logits.shape[1] == 1 else found.of(1, against=0)
        present = truth.y == 1
        image = int(np.where(present, found.logit, -np.inf).argmax())
        answers[name] = Answer(name, task, found, present, image, np.asarray(images[image]))
    return answers, without
