"""What contrastive pretraining learns from: studies, each with its images (views) and its texts."""

import hashlib
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
from mdissect.train.images import seed_of
from mdissect.train.templates import Facts, Sentence, facts_of, findings_in, joined_facts, report

LABELS = "labels"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
WHOLE = 17  # stream of random numbers


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
    def truth(self, positions: np.ndarray, studies: np.ndarray, texts: Sequence[Sentence]) -> tuple[Tensor, Tensor]:
        """Which of m texts are true of n images, and of which that is not known: two (n, m) bool.

        positions, studies : (n,) the images and their studies
        """

    def texts(self, study: int, n: int, rng: np.random.Generator, shown: Sequence[int] = ()) -> list[Sentence]:
        """Several texts of a study of which a step shows some images: where texts are of images, of these."""
        return [self.text(study, rng) for _ in range(n)]

    def whole_text(self, study: int) -> str:
        """All that is said of a study, the same at each call."""
        return self.text(study, np.random.default_rng(seed_of(WHOLE, study))).text

    def others(self, rng: np.random.Generator) -> list[Sentence]:
        """Texts that join each batch and are true of no study; none by default."""
        return []

    def alike(self, texts: Sequence[Sentence], others: Sequence[Sentence]) -> Tensor:
        """Which texts of n studies say the same as which others of the same studies, (n, n) bool; a study's own always do."""
        numbers: dict[object, int] = {}
        said, also = (
            torch.tensor([numbers.setdefault(_meaning(text), len(numbers)) for text in some]) for some in (texts, others)
        )
        return torch.eye(len(said), dtype=torch.bool) | (said[:, None] == also)

    def digest(self) -> str:
        """A hash of the studies and their texts."""
        digest = hashlib.sha256()
        for study, (rows, patient) in enumerate(zip(self.images, self.patients, strict=True)):
            digest.update(f"{rows.tolist()} {patient} {self.said(study)}\n".encode())
        return digest.hexdigest()

    def said(self, study: int) -> object:
        """All from which a study's texts are drawn, for the digest."""
        return self.whole_text(study)

    def views(self, study: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """The positions of n images of a study: different ones as long as there are such."""
        own = self.images[study]
        return own[np.resize(rng.permutation(len(own)), n)]

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

    A text is true of the images of every study that has an equal one, whatever the order of the sentences.
    """

    def __init__(self, images: list[np.ndarray], patients: np.ndarray, reports: list[tuple[str, ...]], shuffle: bool = True):
        self.images, self.patients, self.reports, self.shuffle = images, patients, reports, shuffle

    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        return self.texts(study, 1, rng)[0]

    def texts(self, study: int, n: int, rng: np.random.Generator, shown: Sequence[int] = ()) -> list[Sentence]:
        own = self.reports[study]
        chosen = np.resize(rng.permutation(len(own)), n)
        return [Sentence(self._shuffled(own[i], rng)) for i in chosen]

    def whole_text(self, study: int) -> str:
        return " ".join(self.reports[study])

    def truth(self, positions, studies, texts):
        said = [content(text.text) for text in texts]
        true = torch.tensor([[one in self._contents[study] for one in said] for study in studies], dtype=torch.bool)
        return true.reshape(len(studies), len(texts)), torch.zeros(len(studies), len(texts), dtype=torch.bool)

    @cached_property
    def _contents(self) -> list[set]:
        return [set(map(content, own)) for own in self.reports]

    def _shuffled(self, text: str, rng: np.random.Generator) -> str:
        sentences = SENTENCE_END.split(text.strip())
        return " ".join(sentences[i] for i in rng.permutation(len(sentences))) if self.shuffle else text


class LabelledStudies(Studies):
    """Studies with labels: each text is a report made of them (see `mdissect.train.templates`).

    A text is true of every image whose labels meet all that it asserts and denies; of an image of which some of that is not
    known, it is neither true nor false.
    """

    def __init__(self, images: list[np.ndarray], patients: np.ndarray, facts: list[Facts], shuffle: bool = True):
        self.images, self.patients, self.facts, self.shuffle = images, patients, facts, shuffle

    def text(self, study: int, rng: np.random.Generator) -> Sentence:
        said = report(self.facts[study], rng)
        said = [said[i] for i in rng.permutation(len(said))] if self.shuffle else said
        present, absent = (frozenset().union(*(getattr(one, name) for one in said)) for name in ("present", "absent"))
        return Sentence(" ".join(one.text for one in said), present, absent)

    def said(self, study: int) -> object:
        own = self.facts[study]
        return [sorted(one) if isinstance(one, frozenset) else one for one in vars(own).values()]

    def truth(self, positions, studies, texts):
        asserted, denied = stated(texts, self._keys)
        holds, unknown = (part[torch.as_tensor(np.asarray(studies))] for part in self._known)
        false = (1 - holds) * (1 - unknown) @ asserted.T + holds @ denied.T
        unsure = unknown @ (asserted + denied).T
        return (false == 0) & (unsure == 0), (false == 0) & (unsure > 0)

    @cached_property
    def _keys(self) -> dict[str, int]:
        """The number of each fact."""
        keys = sorted(set().union(*(one.holding() | one.absent for one in self.facts)))
        return {key: i for i, key in enumerate(keys)}

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        """Which facts hold and which are unknown, (n_studies, n_keys) float."""
        holds, unknown = torch.zeros(2, len(self), len(self._keys))
        for i, one in enumerate(self.facts):
            holds[i, [self._keys[key] for key in one.holding()]] = 1
            unknown[i, [self._keys[key] for key in one.unknown(self._keys)]] = 1
        return holds, unknown


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
    if columns == (LABELS,) and LABELS not in table:
        return _of_labels(table, groups, shuffle)
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
    """The patient and the rows of each study, in the order of the table."""

    def column(name: str) -> np.ndarray:
        return table[name].fillna("").astype(str).to_numpy() if name in table else np.full(len(table), "", dtype=object)

    names, rows = column("patient"), np.arange(len(table))
    names = np.where(names == "", [f"image {row}" for row in rows], names)
    studies: dict[tuple, list[int]] = {}
    for row, key in enumerate(zip(names, column("study"), column("laterality"), strict=True)):
        studies.setdefault(key, []).append(row)
    return [(str(key[0]), np.array(own)) for key, own in studies.items()]


def _of_labels(table: pd.DataFrame, groups: list[tuple[str, np.ndarray]], shuffle: bool) -> LabelledStudies:
    rows = table.to_dict("records")
    all_findings = {finding for row in rows for finding in findings_in(row.get("findings", ""))}
    images, patients, facts = [], [], []
    for patient, own in groups:
        joined = joined_facts([facts_of(rows[row], all_findings) for row in own])
        if joined.findings or joined.absent or joined.density or joined.birads is not None:
            images.append(own)
            patients.append(patient)
            facts.append(joined)
    if not images:
        raise ValueError("no image has a finding, a density or a BI-RADS category, of which a report could be made")
    return LabelledStudies(images, np.array(patients), facts, shuffle)


def _one_text(table: pd.DataFrame, rows: np.ndarray, column: str) -> str:
    """The report of a study in a column; ValueError where its images have different ones."""
    found = {text.strip() for text in table[column].iloc[rows].dropna().astype(str)} - {""}
    if len(found) > 1:
        ids = [str(name) for name in table.index[rows]]
        raise ValueError(
            f"images of one study have {len(found)} different texts in {column!r} ({counted(ids, 'image')}); one is expected"
        )
    return found.pop() if found else ""


def _meaning(text: Sentence) -> object:
    """What a text states where that is known, else its words: texts of the same meaning say the same."""
    return (text.present, text.absent) if text.present or text.absent else content(text.text)


def content(text: str) -> tuple[str, ...]:
    """A text without the order of its sentences, nor case."""
    return tuple(sorted(" ".join(one.casefold().split()) for one in SENTENCE_END.split(text.strip())))


def corpus(studies: Studies, n: int, seed: int = 0) -> list[str]:
    """Up to n texts of studies, drawn from a seed: from these a small text tower learns its vocabulary."""
    rng = np.random.default_rng([seed, WHOLE])
    chosen = rng.permutation(len(studies))[:n]
    return [text for study in chosen for text in (studies.whole_text(int(study)), studies.text(int(study), rng).text)]
