"""What contrastive pretraining learns from: studies, each with its images (views) and its texts."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mdissect.arguments import counted
from mdissect.arguments import texts as text_list
from mdissect.probes import Probe
from mdissect.train.templates import Facts, Sentence, facts_of, report

LABELS = "labels"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Studies(ABC):
    """Studies: groups of images of one breast (or one image) with texts that are true of them.

    Attributes
    ----------
    images : list of arrays
        The positions of each study's images.
    patients : (n_studies,) array
        Two studies of a patient never meet in a batch.
    """

    images: list[np.ndarray]
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @abstractmethod
    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        """A text of a study, drawn anew at each call."""

    @abstractmethod
    def truth(
        self, positions: np.ndarray, studies: np.ndarray, texts: Sequence[Sentence], owners: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Which of m texts are true of n images, and of which nothing is known: two (n, m) bool.

        positions, studies : (n,) the images and their studies
        owners : (m,) the study of each text; -1: of none
        """

    def others(self, rng: np.random.Generator) -> list[Sentence]:
        """Texts that join each batch and are true of no study; none by default."""
        return []

    def alike(self, texts: Sequence[Sentence], others: Sequence[Sentence]) -> Tensor:
        """Which texts of n studies say the same as which others of the same studies, (n, n) bool; a study's own always do."""
        said, also = ([(_content(text.text), text.present, text.absent) for text in some] for some in (texts, others))
        return torch.eye(len(said), dtype=torch.bool) | torch.tensor([[_same(a, b) for b in also] for a in said])

    def views(self, study: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """The positions of n images of a study: different ones as long as there are such."""
        own = self.images[study]
        order = rng.permutation(len(own))
        return own[np.resize(order, n)]

    def groups(self, size: int, rng: np.random.Generator, of: np.ndarray | None = None) -> list[np.ndarray]:
        """All studies (or some) in random groups of a size, no patient twice in one; what is left over is not used.

        ValueError: fewer patients than a group holds.
        """
        order = rng.permutation(np.arange(len(self)) if of is None else of)
        if (n := len(set(self.patients[order]))) < size:
            raise ValueError(f"batch_size={size} studies of different patients, but there are {n}; lower batch_size")
        groups: list[list[int]] = []
        held: list[set] = []
        first = 0
        for study in order:
            at = first
            while at < len(groups) and (len(groups[at]) == size or self.patients[study] in held[at]):
                at += 1
            if at == len(groups):
                groups.append([])
                held.append(set())
            groups[at].append(int(study))
            held[at].add(self.patients[study])
            while first < len(groups) and len(groups[first]) == size:
                first += 1
        return [np.array(group) for group in groups if len(group) == size]


class ReportStudies(Studies):
    """Studies with reports: each text is one of a study's own (findings, impression), its sentences shuffled.

    Equal texts, whatever the order of their sentences, are true of each other's images.
    """

    def __init__(self, images: list[np.ndarray], patients: np.ndarray, reports: list[tuple[str, ...]], shuffle: bool = True):
        self.images, self.patients, self.reports, self.shuffle = images, patients, reports, shuffle

    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        own = self.reports[study]
        sentences = SENTENCE_END.split(own[int(rng.integers(len(own)))].strip())
        if self.shuffle:
            sentences = [sentences[i] for i in rng.permutation(len(sentences))]
        return Sentence(" ".join(sentences), frozenset())

    def truth(self, positions, studies, texts, owners):
        said = [_content(text.text) for text in texts]
        by_study: dict[int, set] = {}
        for owner, content in zip(owners, said, strict=True):
            by_study.setdefault(int(owner), set()).add(content)
        true = torch.tensor([[content in by_study.get(int(study), ()) for content in said] for study in studies])
        return true, torch.zeros_like(true)


class LabelledStudies(Studies):
    """Studies with labels: each text is a report made of them (see `mdissect.train.templates`).

    A text is true of every image whose labels meet all that it asserts and denies; of an image of which some of that is not
    known, it is neither true nor false.
    """

    def __init__(self, images: list[np.ndarray], patients: np.ndarray, facts: list[Facts]):
        self.images, self.patients, self.facts = images, patients, facts
        self.findings = sorted(set().union(*(one.findings | one.looked_for for one in facts)))

    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        said = report(self.facts[study], rng)
        said = [said[i] for i in rng.permutation(len(said))]
        present, absent = (frozenset().union(*(getattr(one, name) for one in said)) for name in ("present", "absent"))
        return Sentence(" ".join(one.text for one in said), present, absent)

    @cached_property
    def _keys(self) -> dict[str, int]:
        keys = sorted(set().union(*(one.keys() for one in self.facts)) | set(self.findings))
        return {key: i for i, key in enumerate(keys)}

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        """Which facts hold and which are unknown, (n_studies, n_keys) float."""
        holds, unknown = torch.zeros(2, len(self), len(self._keys))
        for i, one in enumerate(self.facts):
            holds[i, [self._keys[key] for key in sorted(one.keys())]] = 1
            unsure = set(one.unknown(self.findings))
            for name in ("side", "density", "birads"):
                if getattr(one, name) in ("", None):
                    unsure |= {key for key in self._keys if key.startswith(f"{name}=")}
            if not one.looked_for:
                unsure |= {"normal"} & self._keys.keys()
            unknown[i, [self._keys[key] for key in unsure]] = 1
        return holds, unknown

    def truth(self, positions, studies, texts, owners):
        asserted, denied = stated(texts, self._keys)
        holds, unknown = (part[torch.as_tensor(np.asarray(studies))] for part in self._known)
        false = (1 - holds) * (1 - unknown) @ asserted.T + holds @ denied.T
        unsure = unknown @ (asserted + denied).T
        return (false == 0) & (unsure == 0), (false == 0) & (unsure > 0)


def stated(texts: Sequence[Sentence], keys: dict[str, int]) -> tuple[Tensor, Tensor]:
    """What texts assert and deny, (n_texts, n_keys) float of 0 and 1."""
    asserted, denied = torch.zeros(2, len(texts), len(keys))
    for row, text in enumerate(texts):
        asserted[row, [keys[key] for key in text.present]] = 1
        denied[row, [keys[key] for key in text.absent]] = 1
    return asserted, denied


def read_studies(probe: Probe, texts: str | Sequence[str] = LABELS, shuffle: bool = True) -> Studies:
    """The studies of a probe: images of one patient and side (and study, where the table has such a column).

    >>> len(read_studies(load_probe("phantom", n_images=400)))                                    # doctest: +SKIP
    200

    Parameters
    ----------
    texts : str or sequence of them
        Columns with reports, such as ["findings_text", "impression"], or "labels": reports are made of the table's
        findings, density, BI-RADS category and side.
    shuffle : bool
        Whether the sentences of reports are shuffled.

    Raises
    ------
    ValueError
        A column that the table has not, images of one study with different reports, or no study with a text.
    """
    table = probe.table
    groups = _grouped(table)
    columns = text_list("texts", texts)
    if columns == (LABELS,):
        return _of_labels(table, groups)
    if missing := [column for column in columns if column not in table]:
        raise ValueError(
            f"probe {probe.name!r} has no column {', '.join(map(repr, missing))}; texts= names columns with reports, or is "
            f"{LABELS!r}; there are {', '.join(map(str, table.columns))}"
        )
    images, patients, reports = [], [], []
    for patient, rows in groups:
        own = tuple(text for column in columns if (text := _one_text(table, rows, column)))
        if own:
            images.append(rows)
            patients.append(patient)
            reports.append(own)
    if not images:
        raise ValueError(f"no image of probe {probe.name!r} has a text in {', '.join(map(repr, columns))}")
    return ReportStudies(images, np.array(patients), reports, shuffle)


def _grouped(table: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """The patient and the rows of each study."""
    rows = np.arange(len(table))
    if "patient" not in table or (table.patient.fillna("").astype(str) == "").all():
        return [(str(row), rows[row : row + 1]) for row in rows]
    names = table.patient.fillna("").astype(str).to_numpy()
    names = np.where(names == "", [f"image {row}" for row in rows], names)
    by = {"patient": names} | {
        name: table[name].fillna("").astype(str).to_numpy() for name in ("study", "laterality") if name in table
    }
    frame = pd.DataFrame(by)
    return [(names[part[0]], np.asarray(part)) for part in frame.groupby(list(by), sort=True).indices.values()]


def _of_labels(table: pd.DataFrame, groups: list[tuple[str, np.ndarray]]) -> LabelledStudies:
    all_findings = {finding for _, row in table.iterrows() for finding in facts_of(row, ()).findings}
    images, patients, facts = [], [], []
    for patient, rows in groups:
        of_images = [facts_of(table.iloc[row], all_findings) for row in rows]
        joined = Facts(
            frozenset().union(*(one.findings for one in of_images)),
            frozenset.intersection(*(one.looked_for for one in of_images)),
            of_images[0].side,
            next((one.density for one in of_images if one.density), ""),
            max((one.birads for one in of_images if one.birads is not None), default=None),
        )
        if joined.findings or joined.looked_for or joined.density or joined.birads:
            images.append(rows)
            patients.append(patient)
            facts.append(joined)
    if not images:
        raise ValueError("no image has a finding, a density or a BI-RADS category, of which a report could be made")
    return LabelledStudies(images, np.array(patients), facts)


def _one_text(table: pd.DataFrame, rows: np.ndarray, column: str) -> str:
    """The report of a study in a column; ValueError where its images have different ones."""
    found = {text.strip() for text in table[column].iloc[rows].dropna().astype(str)} - {""}
    if len(found) > 1:
        ids = [str(name) for name in table.index[rows]]
        raise ValueError(
            f"images of one study have {len(found)} different texts in {column!r} ({counted(ids, 'image')}); one is expected"
        )
    return found.pop() if found else ""


def _same(one: tuple, other: tuple) -> bool:
    """Whether two texts state the same facts, or are equal."""
    return one[0] == other[0] or (bool(one[1] or one[2]) and one[1:] == other[1:])


def _content(text: str) -> tuple[str, ...]:
    """A text without the order of its sentences, nor case."""
    return tuple(sorted(" ".join(one.casefold().split()) for one in SENTENCE_END.split(text.strip())))
