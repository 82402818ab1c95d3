"""The evaluation of an image-text model: all parts on one probe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdissect import __version__
from mdissect.concepts import Prompts
from mdissect.embed import PassOptions, embed_images, library_versions
from mdissect.evaluate.classifiers import Learning, classifier_rows
from mdissect.evaluate.known import SCENES, generated_kind, learnable, zero_shot_tasks
from mdissect.evaluate.options import FINE_TUNE, LINEAR_PROBE, PARTS, RETRIEVAL, ZERO_SHOT, EvaluationOptions
from mdissect.evaluate.reports import NoReportsError, reports_of
from mdissect.evaluate.result import Evaluation, as_table
from mdissect.evaluate.retrieval import retrieval_rows
from mdissect.evaluate.scoring import Resamples
from mdissect.evaluate.subsets import divided, positions_of_test, published_split
from mdissect.evaluate.zero_shot import BARE, zero_shot_rows
from mdissect.files import without_folders
from mdissect.models import Dissector, Target, load_target, resolve_device
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.train import Running
from mdissect.trust.prompts import PROMPTS

SENTENCES = "five sentences"  # of `PROMPTS`


@validated()
def evaluate_dissector(
    dissector: Dissector,
    probe: Probe,
    options: EvaluationOptions | None = None,
    output: str | Path | None = None,
    store: StoreLike = None,
    target: Target | None = None,
    running: Running | None = None,
) -> Evaluation:
    """Zero-shot classification, retrieval of reports, and linear probe and fine-tuning with few labels, with intervals.

    >>> found = evaluate_dissector(load_dissector("demo/mammo"), load_probe("phantom"), output="tuned")   # doctest: +SKIP
    >>> found.table[["part", "task", "prompts", "fraction", "metric", "value", "low", "high"]]          # doctest: +SKIP

    As Mammo-CLIP is evaluated (Ghosh et al., MICCAI 2024): zero-shot by the softmax over the cosines with two texts, per image;
    classifiers trained on 10, 50 and 100 % of the training patients. VinDr-Mammo is divided by its split, RSNA by its folds (0:
    test, 1 and 2: training), other probes by the column "split", else by patients at random. Zero-shot and retrieval use
    the test images of a probe that is divided, else all.

    Every image is computed once: image embeddings and features are kept in the store. A fine-tuning that was killed resumes; a
    finished one is read.

    Parameters
    ----------
    dissector : Dissector
    probe : Probe
        For classifiers with training and test images: "vindr" with split="all".
    options : EvaluationOptions, optional
        What is evaluated, and how.
    output : path, optional
        A folder for the fine-tuned classifiers; needed for the part "fine-tune".
    store : path, optional
        Where embeddings, features and outputs are kept.
    target : Target, optional
        The network that is trained; by default the dissector's image tower.
    running : Running, optional
        Device, workers and progress bars.

    Raises
    ------
    ValueError
        A part that the probe or the dissector does not allow: no truth, no reports, no training or test images, one class
        alone, a dissector without a network; embeddings that are not finite; or no output folder for fine-tuning.
    """
    options, running = options or EvaluationOptions(), running or Running()
    if FINE_TUNE in options.parts and output is None:
        raise ValueError("the part 'fine-tune' needs output=, a folder for the classifiers; or leave it out of parts")
    resolve_device(running.device)
    probe, notes = published_split(probe)
    job = _Job(dissector, probe, options, None if output is None else Path(output), store, target, running, notes)
    rows = [{"part": part, **row} for part in PARTS if part in options.parts for row in job.rows(part)]
    if dissector.needs_pixels and not dissector.aligned:
        notes.append(f"the two towers of {dissector.name} were never aligned: what is told from texts is random")
    notes += [f"{len(probe.skipped)} files could not be read and are left out"] if probe.skipped else []
    settings = {
        "command": "evaluate",
        "dissector": dissector.name,
        "dissector_fingerprint": dissector.fingerprint,
        "text_fingerprint": dissector.text_fingerprint,
        "preprocess": dissector.preprocess.key() if dissector.preprocess else None,
        "probe": probe.name,
        "probe_key": probe.key(),
        "n_images": len(probe),
        "target": job.target.name if {LINEAR_PROBE, FINE_TUNE} & set(options.parts) else None,
        "options": options.stated(),
        "versions": {"mdissect": __version__, **library_versions()},
    }
    said = tuple(dict.fromkeys(without_folders(note) for note in notes))
    return Evaluation(as_table(rows), without_folders(settings), said)


@dataclass
class _Job:
    """One evaluation: its arguments and what follows from them."""

    dissector: Dissector
    probe: Probe
    options: EvaluationOptions
    output: Path | None
    store: StoreLike
    given: Target | None
    running: Running
    notes: list[str]

    @cached_property
    def resamples(self) -> Resamples:
        return Resamples(self.probe.patients, self.options.n_boot)

    @cached_property
    def tested(self) -> Probe:
        """What texts are compared with: the test images of a probe that is divided, else all."""
        positions = positions_of_test(self.probe)
        if len(positions) < len(self.probe):
            self.notes.append(f"zero-shot and retrieval use the {len(positions)} test images")
        return self.probe.subset(positions)

    @cached_property
    def images(self) -> np.ndarray:
        """The dissector's embeddings (n_tested, d) of them."""
        passing = PassOptions(workers=self.running.workers, progress=self.running.progress)
        parts = embed_images(self.dissector, self.tested, self.store, self.running.device, passing)
        images = np.concatenate([np.array(part) for part in parts])
        if not (finite := np.isfinite(images).all(axis=1)).all():
            first = self.tested.ids[int(np.flatnonzero(~finite)[0])]
            raise ValueError(
                f"dissector {self.dissector.name!r} gives embeddings that are not finite, the first for image {first!r}"
            )
        return images

    @cached_property
    def target(self) -> Target:
        """The network that is trained."""
        if self.given is not None:
            return self.given
        tower, preprocess = self.dissector.image_tower, self.dissector.preprocess
        if tower is None or preprocess is None:
            raise ValueError(
                f"dissector {self.dissector.name!r} has no image tower to train: give target=, or leave 'linear probe' and "
                "'fine-tune' out of parts"
            )
        return load_target(tower, preprocess=preprocess, name=self.dissector.name)

    def rows(self, part: str) -> Iterator[dict]:
        if part == ZERO_SHOT:
            return self._zero_shot()
        return self._retrieval() if part == RETRIEVAL else self._classifiers(part)

    def _zero_shot(self) -> Iterator[dict]:
        options = self.options
        tasks, notes = zero_shot_tasks(self.tested, options.prompts, options.truth)
        self.notes += notes
        if not tasks:
            raise ValueError(
                f"probe {self.tested.name!r} has no truth for zero-shot classification ({'; '.join(notes)}); give prompts= and "
                "truth=, or leave 'zero-shot' out of parts"
            )
        ensembles = options.ensembles or self._ensembles()
        return zero_shot_rows(self.dissector, self.images, tasks, ensembles, self.resamples, options.coverage, self.store)

    def _ensembles(self) -> dict[str, Prompts]:
        bare = {BARE: Prompts()}
        if generated_kind(self.probe) == SCENES:
            return bare
        if not self.dissector.reads_sentences:
            self.notes.append(f"{self.dissector.name} knows names of labels, no sentences: texts are compared as they are")
            return bare
        return bare | {SENTENCES: PROMPTS[SENTENCES]}

    def _retrieval(self) -> Iterator[dict]:
        try:
            reports, source = reports_of(self.tested, self.options.reports)
        except NoReportsError as error:
            if self.options.reports is not None or self.options.parts == (RETRIEVAL,):
                raise
            self.notes.append(f"retrieval is left out: {error}")
            return iter(())
        there = np.flatnonzero([bool(text) for text in reports])
        self.notes.append(f"reports: {source}; {len(there)} of {len(reports)} images have one")
        kept, patients = [reports[i] for i in there], [self.tested.patients[i] for i in there]
        images, coverage = self.images[there], self.options.coverage
        return retrieval_rows(self.dissector, images, kept, patients, self.resamples, coverage, self.store)

    def _classifiers(self, part: str) -> Iterator[dict]:
        for learning in self.learnings:
            yield from classifier_rows(learning, part, self.resamples)

    @cached_property
    def learnings(self) -> Sequence[Learning]:
        """The tasks to be learnt, all checked before the first one is."""
        found, notes = learnable(self.probe, self.options.tasks)
        self.notes += notes
        if not found:
            raise ValueError(
                f"probe {self.probe.name!r} has no labels to learn ({'; '.join(notes)}); name columns with tasks=, or leave "
                "'linear probe' and 'fine-tune' out of parts"
            )
        return [
            Learning(
                self.target, self.probe, name, labels, divided(self.probe, labels, self.options), self.options, self.output,
                self.store, self.running,
            )
            for name, labels in found.items()
        ]  # fmt: skip
