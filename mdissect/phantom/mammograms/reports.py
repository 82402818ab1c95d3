"""Templated mammography reports of the phantoms, with the factor keys that they assert and deny.

A report is built from the statements of `phrases` that hold for its phantom.
"""

from bisect import bisect
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate

import numpy as np

from mdissect.phantom.mammograms.factors import FACTORS, Truth, sample_truth
from mdissect.phantom.mammograms.facts import ANY_OF, BASE_KEYS
from mdissect.phantom.mammograms.phrases import DENIED, NEVER_SAID, STATEMENTS, TOPIC_WEIGHTS
from mdissect.phantom.mammograms.statements import Statement
from mdissect.phantom.text import Text

NOT_TRAINED = frozenset({"distortion"})
"""Factors that the training texts leave out: a planted gap."""

REPORT_SHARE = 0.2  # of the texts
SENTENCE_COUNTS = (0.6, 0.28, 0.12)  # shares of the other texts with one, two, three sentences
DENIAL_SHARE = 0.15  # of these sentences
DENIAL_COUNTS = (0.6, 0.25, 0.15)  # shares of the denials that name one, two, three things
DENYING_REPORTS = 0.6  # of the reports
FULL_DETAIL = 0.7  # of a report's findings get all their descriptors, the others any of them
HEADINGS = (("Findings: ", "Impression: "), ("", "Impression: "), ("", "Assessment: "), ("", ""))
REPORT_ORDER = (
    "mass", "calcification", "distortion", "asymmetry", "skin thickening", "skin retraction", "nipple", "lymph node",
    "implant", "biopsy clip", "surgery", "pacemaker", "marker",
)  # fmt: skip
_KEYS = (*BASE_KEYS, *ANY_OF, *DENIED)
_SCALARS = ("laterality", "view", "density", "birads")
_PARTS = {"mass": ("shape", "margin", "density"), "calcification": ("morphology", "distribution")}


def factor_keys() -> list[str]:
    """The yes/no facts that reports state, such as "mass", "mass_shape=oval", "density=D", "dense", "no_mass"."""
    return list(_KEYS)


def true_keys(truth: Truth) -> frozenset[str]:
    """The factor keys that hold for a phantom."""
    keys = {f"{name}={getattr(truth, name)}" for name in _SCALARS}
    for name in FACTORS:
        value = getattr(truth, name)
        if value:
            keys.add(name)
            if isinstance(value, str):
                keys.add(f"{name}={value}")
            fields = _PARTS.get(name, ())
            keys.update(f"{name}_{field}={detail}" for field in fields if (detail := getattr(value, field)))
    if truth.calcification and truth.calcification.suspicious:
        keys.add("calcification_suspicious")
    keys.update(key for key, sources in ANY_OF.items() if not keys.isdisjoint(sources))
    keys.update(key for key in DENIED if key.removeprefix("no_") not in keys)
    return frozenset(keys)


def factor_vector(truth: Truth) -> np.ndarray:
    """Which of `factor_keys` hold for a phantom, (n_keys,) bool."""
    keys = true_keys(truth)
    return np.fromiter((key in keys for key in _KEYS), bool, len(_KEYS))


def concept_truth(concepts) -> dict[str, tuple[str, ...]]:
    """The factor keys that must hold for each concept (in any case) to be true of a phantom.

    >>> concept_truth(["stellate mass", "linguine sign"])
    {'stellate mass': ('mass_margin=spiculated',)}

    Only the concepts that phantoms can show, in the order given, the planted gaps included. ``()`` means true of every
    phantom ("breast"), a key "no_x" that x does not hold ("no mass").
    """
    table = _phrase_keys()
    return {concept: table[concept.casefold()] for concept in concepts if concept.casefold() in table}


def full_report(truth: Truth, rng: np.random.Generator, exclude=NOT_TRAINED) -> str:
    """A whole report of a phantom: findings, then impression; `rng` decides the wording.

    Factors (or single factor keys) in ``exclude`` are neither asserted nor denied; ValueError for an unknown one.
    """
    return _report(true_keys(truth), rng, _bank(exclude)).text


def sample_text(truth: Truth, rng: np.random.Generator, exclude=NOT_TRAINED) -> Text:
    """A text that is true of a phantom: a whole report (20 %), else one to three sentences, some of them denials."""
    bank, keys = _bank(exclude), true_keys(truth)
    if rng.random() < REPORT_SHARE:
        return _report(keys, rng, bank)
    holding = bank.holding(keys)
    denials = holding.pop("denial", [])
    said, stated = [], []
    for _ in range(1 + _weighted(SENTENCE_COUNTS, rng)):
        if denials and rng.random() < DENIAL_SHARE:
            sentence, chosen = _deny(denials, rng)
            denials = []
        else:
            topic = list(holding)[_weighted([TOPIC_WEIGHTS[name] for name in holding], rng)]
            options = holding.pop(topic)
            chosen = [options[_weighted([statement.weight for statement in options], rng)]]
            sentence = _pick(chosen[0].sentences, rng)
        said.append(sentence)
        stated += chosen
    return _text(" ".join(said), stated)


def corpus(n: int, seed: int, exclude=NOT_TRAINED) -> list[str]:
    """Texts of n random phantoms, to train a tokenizer; text i depends on (seed, i) alone. Excluded factors are not shown."""
    factors = [name for name in FACTORS if name in exclude]
    return [
        sample_text(sample_truth(seed, index, exclude=factors), np.random.default_rng([seed, index]), exclude).text
        for index in range(n)
    ]


def statements_without(exclude=NOT_TRAINED) -> list[Statement]:
    """All statements that texts are built from when some factors are excluded."""
    return [statement for statements in _bank(exclude).by_key.values() for statement in statements]


def speaks_of(key: str, names: Iterable[str]) -> bool:
    """Whether a factor key concerns one of the names: the key itself, its factor, or its sources.

    >>> speaks_of("no_distortion", {"distortion"}), speaks_of("distortion", {"implant=saline"})
    (True, False)
    """
    key = key.removeprefix("no_")
    if any(key == name or key.startswith((f"{name}=", f"{name}_")) for name in names):
        return True
    return any(speaks_of(source, names) for source in ANY_OF.get(key, ()))


def _report(keys, rng, bank):
    holding = bank.holding(keys)
    chosen = _opening(holding, rng)
    for topic in REPORT_ORDER:
        detailed = [statement for statement in holding.get(topic, ()) if _detail(statement)]
        if detailed:
            most = max(map(_detail, detailed)) if rng.random() < FULL_DETAIL else 1
            chosen.append(_pick([statement for statement in detailed if _detail(statement) >= most], rng))
    findings = [_pick(statement.sentences, rng) for statement in chosen]
    if "denial" in holding and rng.random() < DENYING_REPORTS:
        sentence, denied = _deny(holding["denial"], rng)
        findings.append(sentence)
        chosen += denied
    closing = [_pick(holding[topic], rng) for topic in ("diagnosis", "assessment", "advice") if topic in holding]
    kept = sorted(rng.permutation(len(closing))[: 1 + int(rng.random() * len(closing))])
    before, between = _pick(HEADINGS, rng)
    impression = " ".join(_pick(closing[position].plain, rng) for position in kept)
    return _text(f"{before}{' '.join(findings)} {between}{impression}", chosen + [closing[position] for position in kept])


def _opening(holding, rng):
    """Side, view and breast composition."""
    chosen = [_pick(holding[topic], rng) for topic in ("view", "density") if topic in holding]
    sided = any(key.startswith("laterality") for statement in chosen for key in statement.keys)
    return chosen if sided or "laterality" not in holding else [*holding["laterality"], *chosen]


def _deny(denials, rng):
    """A sentence that denies one fact, or two or three in a list; and the statements it makes."""
    count = 1 + _weighted(DENIAL_COUNTS, rng)
    chosen, rest = [], denials
    while rest and len(chosen) < count:
        chosen.append(rest[_weighted([statement.weight for statement in rest], rng)])
        rest = [statement for statement in rest if _denied_thing(statement) != _denied_thing(chosen[-1])]
    if len(chosen) == 1:
        return _pick(chosen[0].sentences, rng), chosen
    *first, last = (_pick(statement.phrases, rng).removeprefix("no ") for statement in chosen)
    return f"No {', '.join(first)} or {last}.", chosen


def _denied_thing(statement):
    """What a denial is about: "no_mass_suspicious" -> "mass"."""
    return statement.keys[0].split("_")[1]


def _detail(statement):
    """Detail of a statement: 2 for a key with a value, 1 for presence, 0 for a vague or denied key."""
    return sum(1 + ("=" in key) for key in statement.keys if key not in ANY_OF and key not in DENIED)


def _text(words, stated):
    keys = [key for statement in stated for key in statement.keys]
    denied = frozenset(key.removeprefix("no_") for key in keys if key.startswith("no_"))
    return Text(words, frozenset(key for key in keys if not key.startswith("no_")), denied)


def _pick(options, rng):
    return options[int(rng.random() * len(options))]


def _weighted(weights, rng):
    edges = list(accumulate(weights))
    return min(bisect(edges, rng.random() * edges[-1]), len(edges) - 1)


class _Bank:
    """The statements that may be made, listed by the first of their keys."""

    def __init__(self, statements):
        self.by_key = {}
        for statement in statements:
            self.by_key.setdefault(statement.keys[0] if statement.keys else "", []).append(statement)

    def holding(self, keys):
        """Topic -> the statements that hold where ``keys`` do, in the table's order of keys."""
        topics = {}
        for key, statements in self.by_key.items():
            if key in keys or not key:
                for statement in statements:
                    if keys.issuperset(statement.keys):
                        topics.setdefault(statement.topic, []).append(statement)
        return topics


def _bank(exclude):
    return _bank_without(frozenset((exclude,) if isinstance(exclude, str) else exclude))


@lru_cache(maxsize=16)
def _bank_without(exclude):
    names = {key.partition("=")[0] for key in BASE_KEYS}
    if unknown := sorted(exclude - names - set(_KEYS)):
        raise ValueError(f"exclude={unknown}: no such factors; known are {', '.join(sorted(names))} and factor_keys()")
    unsaid = exclude | NEVER_SAID
    return _Bank(statement for statement in STATEMENTS if not any(speaks_of(key, unsaid) for key in statement.keys))


@lru_cache(maxsize=1)
def _phrase_keys():
    table = {}
    for statement in STATEMENTS:
        for phrase in statement.phrases:
            if table.setdefault(phrase.casefold(), statement.keys) != statement.keys:
                known = table[phrase.casefold()]
                raise ValueError(f"the wording {phrase!r} states both {known} and {statement.keys}; keep one of them")
    return table
