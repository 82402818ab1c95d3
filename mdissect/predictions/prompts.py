"""Pairs of texts that say that a finding is there, and that it is not."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdissect.arguments import listed, shown, some_path, texts
from mdissect.embed import embed_concepts
from mdissect.models import Dissector
from mdissect.store import StoreLike
from mdissect.tables import read_text_table

#: Those of Mammo-CLIP's published zero-shot evaluation (configs/zs_clip.yaml), by finding.
PUBLISHED = {
    "mass": ("mass", "no mass"),
    "suspicious calcification": ("suspicious calcification", "no suspicious calcification"),
    "malignancy": ("malignancy", "no malignancy"),
}
SIDE, ONE_MORE = "|", ";"  # "mass | no mass", "a mass; there is a mass | no mass"
NAMED = "="  # "tumour = mass | no mass"
FORM = "'mass | no mass', with several texts a side separated by ';'"
NOTHING_LEFT = 1e-4  # of unit length: texts whose embeddings cancel out

Prompts = str | os.PathLike | Sequence | Mapping | None


@dataclass(frozen=True)
class PromptPair:
    """A finding's name, and the texts for and against it, one at least of each."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, str]:
        return f"no {self.name}", self.name


def as_prompts(name: str, value: Prompts) -> tuple[PromptPair, ...]:
    """Prompt pairs from what `zero_shot` takes, as a tuple of at least one."""
    if isinstance(value, tuple) and value and all(isinstance(one, PromptPair) for one in value):
        return value
    if value is None:
        value = PUBLISHED
    if isinstance(value, Mapping):
        pairs = [_pair(f"{name}[{key!r}]", one, key) for key, one in value.items()]
    elif isinstance(value, os.PathLike) or (isinstance(value, str) and SIDE not in value):
        pairs = _from_file(name, value)
    elif isinstance(value, (str, list, tuple)):
        several = [value] if isinstance(value, str) else value
        pairs = [_pair(f"{name}[{i}]", one) for i, one in enumerate(several)]
    else:
        raise TypeError(f"{name}={shown(value)} must be texts such as {FORM}, a mapping of findings to pairs, or a file")
    if not pairs:
        raise ValueError(f"{name}={shown(value)} must hold one pair at least, such as {FORM}")
    names = ["_".join(pair.name.split()).casefold() for pair in pairs]
    if len(set(names)) < len(names):
        twice = next(pair.name for pair, one in zip(pairs, names, strict=True) if names.count(one) > 1)
        raise ValueError(f"{name} has the finding {twice!r} twice: give each its own name, {{name: (positive, negative)}}")
    return tuple(pairs)


def sides(dissector: Dissector, pairs: Sequence[PromptPair], store: StoreLike) -> np.ndarray:
    """Unit embeddings (n_pairs, 2, d) float64 of the negative and the positive side of each pair.

    Of several texts a side: the mean of their unit embeddings, brought to unit length. ValueError for texts of both sides that
    are the same to the dissector, or whose embeddings cancel out.
    """
    every = list(dict.fromkeys(text for pair in pairs for text in (*pair.positive, *pair.negative)))
    for group in dissector.alike(every):
        for pair in pairs:
            if set(group) & set(pair.positive) and set(group) & set(pair.negative):
                raise ValueError(
                    f"prompts of {pair.name!r}: {' and '.join(map(repr, group))} are the same to dissector {dissector.name!r}; "
                    "reword one of them"
                )
    rows = dict(zip(every, embed_concepts(dissector, every, store).astype(np.float64), strict=True))
    return np.array([[_mean(pair, [rows[text] for text in side]) for side in (pair.negative, pair.positive)] for pair in pairs])


def _mean(pair: PromptPair, rows: Sequence[np.ndarray]) -> np.ndarray:
    mean = np.mean([row / max(np.linalg.norm(row), 1e-12) for row in rows], axis=0)
    length = np.linalg.norm(mean)
    if not length > NOTHING_LEFT:
        raise ValueError(f"prompts of {pair.name!r}: the embeddings of one side cancel out; leave some of its texts out")
    return mean / length


def _pair(name: str, value: object, finding: object = None) -> PromptPair:
    """A pair from "positive | negative" or (positive, negative), each a text or several."""
    if isinstance(value, str):
        before, equals, rest = value.partition(NAMED)
        if finding is None and equals and SIDE not in before:
            finding, value = before, rest
        halves = value.split(SIDE)
        if len(halves) != 2:
            raise ValueError(f"{name}={shown(value)} must be a pair of texts, such as {FORM}")
        halves = [[text.strip() for text in half.split(ONE_MORE) if text.strip()] for half in halves]
    elif isinstance(value, (list, tuple)) and len(value) == 2:
        halves = value
    else:
        raise TypeError(f"{name}={shown(value)} must be (positive, negative), or a text such as {FORM}")
    positive, negative = (
        _texts(f"{name}, {side} side", half) for side, half in zip(("positive", "negative"), halves, strict=True)
    )
    if finding is not None and (not isinstance(finding, str) or not finding.strip()):
        raise ValueError(f"{name}: a finding is named by a text")
    if both := set(positive) & set(negative):
        raise ValueError(f"{name}: {listed(sorted(map(repr, both)))} stands on both sides; a pair needs different texts")
    return PromptPair((finding or positive[0]).strip(), positive, negative)


def _texts(name: str, value: object) -> tuple[str, ...]:
    found = tuple(text.strip() for text in texts(name, value))
    return tuple(dict.fromkeys(found))


def _from_file(name: str, value: str | os.PathLike) -> list[PromptPair]:
    """Pairs from a table with columns positive and negative, and finding; several rows of a finding are its texts."""
    path = some_path(name, value)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}={str(value)!r} is neither a pair such as {FORM}, nor a file; a file is a table (.csv, .xlsx) with columns "
            "finding, positive, negative"
        )
    table = read_text_table(path, needed=["positive", "negative"], wanted=["finding"])
    found: dict[str, tuple[list[str], list[str]]] = {}
    for row in table.itertuples():
        finding = getattr(row, "finding", "") or row.positive
        if not finding:
            raise ValueError(f"{path}, line {row.Index}: neither finding nor positive is given")
        both = found.setdefault(finding, ([], []))
        for side, text in zip(both, (row.positive, row.negative), strict=True):
            side += [text] if text else []
    for finding, both in found.items():
        for side, there in zip(("positive", "negative"), both, strict=True):
            if not there:
                raise ValueError(f"{path}: finding {finding!r} has no {side} text")
    return [_pair(f"{Path(path).name}, {finding!r}", both, finding) for finding, both in found.items()]
