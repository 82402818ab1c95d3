"""A profile with its probes, concepts and dissections: what a notebook's first cell opens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.analysis import GROUPINGS, RULES, THRESHOLDS, count_concepts, count_labels, enrichment, thresholds, with_verdict
from mdissect.concepts import ConceptSet, load_concepts
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions, fill_store
from mdissect.method import dissect
from mdissect.models import Dissector, Target, files_digest, load_dissector, load_target
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.study.counting import Counting, Resampled
from mdissect.study.kept import kept
from mdissect.study.pairs import COUNTS
from mdissect.study.pictures import Pictures
from mdissect.study.profiles import (
    OWN_LABELS,
    Profile,
    Setup,
)
from mdissect.trust import (
    constant_label,
    report_card,
    resampled_labels,
    resampled_margins,
    resampled_neuron,
    tau_intervals,
    unknown_concepts,
    with_count_intervals,
    without_concepts,
)

DEMO_MODELS = "demo/"


class Study(Pictures):
    """A profile with its probes, concepts and store; probes are loaded and dissections made once and kept.

    Made by `open_study`. `level` is the q-value up to which a calibrated label counts; None: labels are not calibrated.
    `together`: all of the setups are wanted, so that what they need of a probe is computed in one pass.
    """

    def __init__(
        self,
        profile: Profile,
        store: Path,
        figures: Path,
        pass_options: PassOptions,
        level: float | None = None,
        known_only: bool = False,
        together: bool = False,
    ):
        self.profile, self.store, self.figures, self.pass_options = profile, store, figures, pass_options
        self.level, self.known_only, self.together = level, known_only, together
        self._probes: dict[str, Probe] = {}
        self._dissections: dict[str, Dissection] = {}
        self._dissectors: dict[tuple[str, ...], Dissector] = {}
        self._targets: dict[str, Target] = {}  # loaded, and not dissected yet
        self._computed: set[str] = set()  # probes that went through all setups' models

    @cached_property
    def concepts(self) -> ConceptSet:
        """The concept set of the profile; the labels themselves where labels are the dissector."""
        if self.profile.concepts != OWN_LABELS:
            return load_concepts(self.profile.concepts)
        labelled = [setup for setup in self.profile.setups.values() if setup.dissector == OWN_LABELS]
        if not labelled:
            raise ValueError("concepts='labels' needs a dissector made of labels; give dissector='labels:<column>'")
        return ConceptSet.from_list(self._dissector(labelled[0]).labels)

    @property
    def broad_category_of(self) -> dict[str, str]:
        """The broad category of each concept; of several the last."""
        return dict(zip(self.concepts.table.concept, self.concepts.table.broad_category, strict=True))

    @validated()
    def probe(self, name: str = "mammograms") -> Probe:
        """A probe of the profile, generated images drawn by all cores; "a + b" joins two.

        Raises
        ------
        ValueError
            No such probe.
        """
        if name not in self._probes:
            first, *others = (self._load_probe(part.strip()) for part in name.split("+"))
            self._probes[name] = sum(others, start=first)
        return self._probes[name]

    @validated()
    def dissect(self, name: str) -> Dissection:
        """The dissection of a setup, from the store where it was made before.

        Raises
        ------
        ValueError
            No such setup.
        """
        setup = self._setup(name)
        if name not in self._dissections:
            found = self._dissect(setup)
            if self.known_only:
                found = without_concepts(found, unknown_concepts(report_card(found)))
            if setup.constant:
                found = constant_label(found)
            elif self.level is not None:
                found = found.calibrated(self.level, store=self.store)
            self._dissections[name] = found
        return self._dissections[name]

    @validated()
    def dissector(self, name: str) -> Dissector:
        """The dissector of a setup; ValueError: no such setup."""
        return self._dissector(self._setup(name))

    @validated()
    def same_dissector(self, *setups: str) -> list[str]:
        """Those of the setups that have the dissector of the last one: their similarities can be compared."""
        weights = {name: self.dissect(name).settings["dissector_weights"] for name in setups}
        return [name for name in setups if weights[name] == weights[setups[-1]]]

    @validated()
    def own_dissector(self, *setups: str) -> list[str]:
        """Those of the setups that have another dissector than the last one."""
        return [name for name in setups if name not in self.same_dissector(*setups)]

    @validated(rule=RULES, count=COUNTS)
    def own_counts(self, rule: str = "top", count: str = "concepts") -> dict[str, pd.Series]:
        """Per setup and layer, what counts under the setup's own threshold."""
        found = {name: self.dissect(name) for name in self.profile.setups}
        tables = {name: count_labels(d, thresholds(d, rule=rule)).set_index("layer") for name, d in found.items()}
        return {name: table[count] for name, table in tables.items()}

    @validated(shared=THRESHOLDS)
    def enriched(self, shared: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """`analysis.enrichment` of what passes the shared thresholds in each setup's last layer, where anything does."""
        tables = {}
        for name in self.profile.setups:
            found = self.dissect(name)
            passing = with_verdict(found, shared).query("passes and layer == @found.layers[-1]")
            if len(passing):
                tables[name] = enrichment(passing, found.concepts)
        return tables

    @validated(rule=RULES)
    def thresholds(self, rule: str = "top", n_boot: int = 0) -> dict[str, pd.DataFrame]:
        """Every setup's own thresholds (`mdissect.analysis.thresholds`).

        With `n_boot` resamples of the patients also their 95 % intervals, in columns low and high (`tau_intervals`); a constant
        label has none.

        Raises
        ------
        ValueError
            n_boot with another rule than "top".
        """
        return {name: self.threshold(name, rule, n_boot) for name in self.profile.setups}

    @validated(rule=RULES)
    def threshold(self, name: str, rule: str = "top", n_boot: int = 0) -> pd.DataFrame:
        """A setup's own thresholds, as in `thresholds`."""
        if n_boot and rule != "top":
            raise ValueError(f"n_boot={n_boot}: intervals are those of rule='top', not of rule={rule!r}; set n_boot=0")
        found = self.dissect(name)
        if n_boot and not self.profile.setups[name].constant:
            return self.kept(tau_intervals)(found.published, n_boot)
        return thresholds(found, rule=rule)

    @validated(shared=THRESHOLDS, by=GROUPINGS)
    def counts(self, shared: pd.DataFrame, by: str, n_boot: int = 0) -> dict[str, pd.DataFrame]:
        """What counts in every setup under shared thresholds, by group: `counting` for each."""
        count = self.counting(n_boot)
        return {name: count(self.dissect(name), shared, by=by) for name in self.profile.setups}

    @validated()
    def counting(self, n_boot: int = 0) -> Counting:
        """How labels are counted; with `n_boot` resamples of the patients counts have 95 % intervals.

        See `mdissect.trust.count_intervals`. A constant label has none.
        """
        if not n_boot:
            return Counting()
        resample, one_neuron = self.kept(resampled_labels, ["store"]), self.kept(resampled_neuron)
        again = self.kept(resampled_margins)

        def labels(dissection: Dissection, thresholds: pd.DataFrame) -> Resampled:
            return None if _constant(dissection) else resample(dissection, thresholds, n_boot, store=self.store)

        def count(dissection: Dissection, thresholds: pd.DataFrame, by: str) -> pd.DataFrame:
            if (drawn := labels(dissection, thresholds)) is None:
                return count_concepts(dissection, thresholds, by=by)
            return with_count_intervals(dissection, thresholds, by, drawn)

        def neuron(dissection: Dissection, layer: str, number: int, top: int) -> tuple[np.ndarray, np.ndarray] | None:
            return None if _constant(dissection) else one_neuron(dissection, layer, number, top, n_boot)

        def margins(dissection: Dissection, thresholds: pd.DataFrame) -> np.ndarray | None:
            return None if _constant(dissection) else again(dissection, thresholds, n_boot)

        return Counting(count, labels, margins, neuron)

    def kept(self, function: Callable, ignore: Sequence[str] = ()) -> Callable:
        """A function whose results are kept in the store: the same arguments under the same code are read from there.

        >>> by_snr = study.kept(planted.curve)("snr", [0.5, 1, 2])    # doctest: +SKIP

        Arguments count by their content, arrays and dissections too; changing any module of mdissect, or another version of
        numpy or torch, computes everything anew. `ignore` names arguments that do not count. Results are numbers, text, lists,
        dicts, arrays, tables, dissections, or dataclasses of the function's module; they come back equal. They lie in plain
        files with checksums; pickles of former versions are never opened.

        Raises
        ------
        TypeError
            When called: a result of another kind, or an argument that is not known by its content.
        """
        return kept(function, self.store / "results", ignore)

    def with_setups(self, setups: Mapping[str, Setup]) -> "Study":
        """The same study of other setups, which shares the probes and dissectors that are loaded."""
        profile = replace(self.profile, setups=dict(setups))
        other = Study(profile, self.store, self.figures, self.pass_options, self.level, self.known_only, together=True)
        other._probes, other._dissectors = self._probes, self._dissectors
        return other

    def identity(self) -> tuple | None:
        """All that the dissections of all setups depend on, without making them; None unless all models are demo models."""
        setups = self.profile.setups.values()
        if (files := _files_of(*setups)) is None:
            return None
        probes = {name: self.probe(name).key() for name in sorted({setup.probe for setup in setups})}
        named = sorted((name, repr(setup)) for name, setup in self.profile.setups.items())
        return (files, probes, named, *self._options(), self.level, self.known_only)

    def _options(self) -> tuple:
        """What of the profile a dissection depends on, beside its setup and probe."""
        profile, table = self.profile, [self.concepts.table, self.concepts.prompts.stated()]
        return table, profile.layers, profile.top_k, dict(profile.similarity_options)

    def _dissect(self, setup: Setup) -> Dissection:
        """The dissection of a setup; of demo models, which their files identify, without building them when it is known."""
        if (files := _files_of(setup)) is None:
            return _dissected(self, setup)
        key = (files, self.probe(setup.probe).key(), *self._options())
        return self.kept(_dissected, ignore=["study"])(self, setup, key)

    def _load_probe(self, name: str) -> Probe:
        if name not in self.profile.probes:
            raise ValueError(f"profile {self.profile.name!r} has no probe {name!r}; it has {', '.join(self.profile.probes)}")
        probe = self.profile.probes[name].load()
        probe.warm(progress=self.pass_options.progress)
        return probe

    def _setup(self, name: str) -> Setup:
        if name not in self.profile.setups:
            raise ValueError(f"profile {self.profile.name!r} has no setup {name!r}; it has {', '.join(self.profile.setups)}")
        return self.profile.setups[name]

    def _dissector(self, setup: Setup) -> Dissector:
        """A setup's dissector, loaded once for all setups that share it."""
        own = {"probe": self.probe(setup.probe)} if setup.dissector == OWN_LABELS else {}
        key = (setup.dissector, setup.probe if own else "", repr(sorted(setup.dissector_options.items())))
        if key not in self._dissectors:
            self._dissectors[key] = load_dissector(setup.dissector, **own, **setup.dissector_options)
        return self._dissectors[key]


def _files_of(*setups: Setup) -> dict[str, str] | None:
    """A hash of the files of each demo model in some setups; None if there is any other model."""
    specs = {str(spec) for setup in setups for spec in (setup.target, setup.dissector)}
    if not all(spec.startswith(DEMO_MODELS) for spec in specs):
        return None
    return {spec: files_digest(spec.removeprefix(DEMO_MODELS)) for spec in sorted(specs)}


def _spec(setup: Setup) -> str:
    """What a setup's target is loaded by."""
    return repr((setup.target, sorted(setup.target_options.items())))


def _compute_together(study: Study, probe: str) -> None:
    """Put into the store, in one pass, what all setups on a probe need of it; once for each probe."""
    setups = [setup for setup in study.profile.setups.values() if setup.probe == probe and not setup.constant]
    wanted = study.together and len(setups) > 1 and study.pass_options.precision == "float32"
    if not wanted or probe in study._computed:
        return
    study._computed.add(probe)
    for setup in setups:
        if _spec(setup) not in study._targets:
            study._targets[_spec(setup)] = load_target(setup.target, **setup.target_options)
    targets = {_spec(setup): study._targets[_spec(setup)] for setup in setups}
    dissectors = list({id(one): one for one in map(study._dissector, setups)}.values())
    layers = {name: study.profile.layers or target.layers for name, target in targets.items()}
    fill_store(targets, dissectors, study.probe(probe), layers, study.store, options=study.pass_options)


def _dissected(study: Study, setup: Setup, key: tuple = ()) -> Dissection:
    """`dissect` a setup; `key` holds all that the result depends on beside the setup, for a study that keeps it."""
    profile = study.profile
    _compute_together(study, setup.probe)
    target = study._targets.pop(_spec(setup), None) or load_target(setup.target, **setup.target_options)
    return dissect(
        target,
        study._dissector(setup),
        study.probe(setup.probe),
        study.concepts,
        layers=profile.layers,
        top_k=setup.top_k or profile.top_k,
        store=study.store,
        options=study.pass_options,
        **profile.similarity_options,
    )


def _constant(dissection: Dissection) -> bool:
    """Whether all neurons have one label by decree."""
    return "constant_label" in dissection.settings
