"""A classifier's probabilities for images, breasts and patients."""

from collections.abc import Sequence

import numpy as np
import torch

from mdissect.arguments import listed, texts
from mdissect.embed import PassOptions
from mdissect.models import Target
from mdissect.predictions.levels import Question, read_truth
from mdissect.predictions.logits import OUTPUTS, class_probabilities, first_outputs, probe_outputs
from mdissect.predictions.passes import as_images, as_probe
from mdissect.predictions.result import Predictions, collected, column_name
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike


@validated(probe=as_images, classes=texts, outputs=OUTPUTS)
def predict(
    target: Target,
    probe: "Probe | np.ndarray | Sequence[np.ndarray]",
    truth: str | None = None,
    classes: Sequence[str] | None = None,
    outputs: str = "auto",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> Predictions:
    """Class probabilities of every image, and per breast and patient by mean and by max.

    >>> found = predict(load_target("demo/C3"), load_probe("phantom", n_images=40), truth="mass")   # doctest: +SKIP
    >>> found.images.probability_mass.head(); found.scores[["level", "by", "auc", "auc_low", "auc_high"]]   # doctest: +SKIP

    A network's one output becomes the probability of the second of two classes by the logistic function, several become those
    of classes that exclude each other by softmax. The columns are probability_<class>, and predicted is the most probable class
    (of equally probable ones the first).

    Parameters
    ----------
    target : Target
        A classifier: its output is that of a linear layer.
    probe : Probe, or images as arrays
        Any number of images; they are read and computed in batches, in the order of the probe's ids.
    truth : str, optional
        The column of the probe's table with the true classes (their names; of two classes also yes and no), or one of the
        study's tasks (density, birads, mass, calcification). It gives `Predictions.scores`: for two classes the AUC of the
        second, for several the mean AUC of each against all others. Breasts and patients: see `Level.truth`.
    classes : sequence of str, optional
        Names of the outputs (of one output: two names, the second is that of a high output). By default the target's own,
        else "0", "1", ...
    outputs : {"auto", "logits", "probabilities"}
        What the network gives. "auto": logits, checked by running it: its output must be that of a linear layer.
    store : path, optional
        Where outputs are kept: a run that was killed resumes there, after its last 64 images.
    device, options
        As for `mdissect.embed.embed_probe`.

    Raises
    ------
    NoHeadError
        A ValueError: the network does not end in a linear layer; the message says in what.
    ValueError
        Classes that do not fit the outputs, truth that cannot be read, outputs that are not finite, weights that changed.
    """
    probe = as_probe(probe)
    given = tuple(classes or target.classes)
    labels = read_truth(probe, given, truth) if truth is not None and given else None  # before anything runs
    first = first_outputs(target, probe, device, outputs)
    names = _names(target, given, first.shape[1])
    class_probabilities(first, outputs, target, probe)
    if truth is not None and labels is None:
        labels = read_truth(probe, names, truth)
    probability = class_probabilities(
        probe_outputs(target, probe, store, device, options or PassOptions()), outputs, target, probe
    )
    predicted = np.array(names, dtype=object)[probability.argmax(axis=1)]
    produced = {
        "command": "predict",
        "model": target.name,
        "model_fingerprint": target.fingerprint,
        "model_notes": list(target.notes),
        "classes": list(names),
        "outputs": "logits" if outputs == "auto" else outputs,
    }
    notes = [] if given else [f"the target does not name its classes: they are called {listed(names)}; classes= names them"]
    question = Question("", names, probability, labels, {"predicted": predicted})
    return collected(probe, [question], produced, target.preprocess, notes)


def _names(target: Target, given: tuple[str, ...], n_outputs: int) -> tuple[str, ...]:
    """Names of the classes of a network with so many outputs."""
    n_classes = max(n_outputs, 2)
    names = given or tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        expected = "one output, for which two names are expected" if n_outputs == 1 else f"{n_outputs} outputs"
        raise ValueError(
            f"{len(names)} classes ({listed(names)}), but target {target.name!r} has {expected}; give them with classes="
        )
    if len({column_name(name).casefold() for name in names}) < len(names):
        raise ValueError(f"classes {listed(names)}: two have the same name; give others with classes=")
    return names
