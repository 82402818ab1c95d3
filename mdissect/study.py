"""The named setups and profiles: what a notebook's first cell opens.

A setup is a target, a dissector and a probe under a short name, as in Tables 1 and 4 of the paper: G (trained on natural
images), M (trained on mammograms), each dissected by its own image-text model; "G by M" is G's target under M's dissector,
which tells apart what is due to the one and to the other. A profile says what these names stand for: "demo" means the
embedded study on phantoms.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from mdissect.concepts import ConceptSet, load_concepts
from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.method import dissect
from mdissect.models import Dissector, load_dissector, load_target
from mdissect.paths import data_dir
from mdissect.probes import Probe, load_probe

OWN_LABELS = "labels"


@dataclass(frozen=True)
class Setup:
    """A target and a dissector, by the names (and options) that `load_target` and `load_dissector` take."""

    target: str
    dissector: str
    target_options: Mapping = field(default_factory=dict)
    dissector_options: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """What a study uses unless told otherwise.

    Attributes
    ----------
    setups : mapping of name to Setup
    probe : str
        Spec for `load_probe`, with `probe_options`.
    concepts : str
        Spec for `load_concepts`.
    layers : sequence of str or None
        Layers of the named setups' targets, from shallow to deep; None: each target's own choice.
    top_k : int
        Images that stand for a neuron.
    similarity_options : mapping
        Options of soft_wpmi that depart from the paper's defaults.
    """

    name: str
    setups: Mapping[str, Setup]
    probe: str
    probe_options: Mapping
    concepts: str
    top_k: int
    layers: Sequence[str] | None = None
    similarity_options: Mapping = field(default_factory=dict)


PROFILES = {
    "demo": Profile(
        name="demo",
        setups={
            "G": Setup("demo/general", "demo/general"),
            "G by M": Setup("demo/general", "demo/mammo"),
            "M": Setup("demo/mammo", "demo/mammo"),
        },
        probe="phantom",
        probe_options={"n_images": 800, "seed": 7},
        concepts="mammography",
        top_k=40,
    )
}


class Study:
    """One profile with its probe, concepts and store; dissections are made once and kept.

    Made by `open_study`.
    """

    def __init__(self, profile: Profile, store: Path, figures: Path, pass_options: PassOptions):
        self.profile, self.store, self.figures, self.pass_options = profile, store, figures, pass_options
        self._dissections: dict[str, Dissection] = {}

    @cached_property
    def concepts(self) -> ConceptSet:
        """The concept set of the profile; the labels themselves where labels are the dissector."""
        if self.profile.concepts != OWN_LABELS:
            return load_concepts(self.profile.concepts)
        labelled = [setup for setup in self.profile.setups.values() if setup.dissector == OWN_LABELS]
        if not labelled:
            raise ValueError("concepts='labels' needs a dissector made of labels; give dissector='labels:<column>'")
        return ConceptSet.from_list(self._dissector(labelled[0]).labels)

    @cached_property
    def probe(self) -> Probe:
        """The probe, its generated images drawn by all cores."""
        probe = load_probe(self.profile.probe, **self.profile.probe_options)
        probe.warm(progress=self.pass_options.progress)
        return probe

    def dissect(self, name: str) -> Dissection:
        """The dissection of a setup, from the store where it was made before.

        Raises
        ------
        ValueError
            No such setup.
        """
        if name not in self.profile.setups:
            raise ValueError(f"profile {self.profile.name!r} has no setup {name!r}; it has {', '.join(self.profile.setups)}")
        if name not in self._dissections:
            setup = self.profile.setups[name]
            self._dissections[name] = dissect(
                load_target(setup.target, **setup.target_options),
                self._dissector(setup),
                self.probe,
                self.concepts,
                layers=self.profile.layers,
                top_k=self.profile.top_k,
                store=self.store,
                options=self.pass_options,
                **self.profile.similarity_options,
            )
        return self._dissections[name]

    def _dissector(self, setup: Setup) -> Dissector:
        own = {"probe": self.probe} if setup.dissector == OWN_LABELS else {}
        return load_dissector(setup.dissector, **own, **setup.dissector_options)

    def save_figure(self, fig, name: str, *setups: str, **settings) -> Path:
        """Write a figure as PNG, SVG and JSON with the settings of its dissections; returns the PNG's path."""
        from mdissect.plots import save_figure

        shown = {setup: self.dissect(setup).settings for setup in setups or self._dissections}
        described = {"profile": self.profile.name, "figure": name, **settings, "setups": shown}
        return save_figure(fig, self.figures / name, described)


def open_study(
    profile: str = "demo",
    *,
    n_images: int | None = None,
    seed: int | None = None,
    top_k: int | None = None,
    lam: float | None = None,
    dissector: str = "",
    probe: str = "",
    probe_options: Mapping | None = None,
    concepts: str = "",
    targets: Mapping[str, Mapping] | None = None,
    layers: Sequence[str] | None = None,
    progress: bool = True,
) -> Study:
    """Open a study; whatever is left empty comes from the profile.

    Parameters
    ----------
    profile : str
        "demo".
    n_images, seed : int, optional
        Size and seed of a generated probe.
    top_k, lam
        Of the similarity function.
    dissector : str
        One dissector for all setups in place of each setup's own: a fair comparison of targets. "labels:<column>" makes the
        oracle of a metadata column of the probe; its labels then are the concepts, unless `concepts` names others.
    probe, probe_options
        Another probe for all setups, such as ``probe="folder", probe_options={"path": "my_images"}``.
    concepts : str
        Another concept set, by name or path.
    targets : mapping
        Further setups by name: ``{"mine": {"target": "timm/resnet18", "checkpoint": "net.pth"}}``; the rest of each entry
        is handed to `load_target`, and "dissector" may name another dissector ("labels:<column>" too) than that of the
        profile's last setup.
    layers : sequence of str
        Layers of all targets.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        Unknown profile, or an entry of `targets` without "target".

    Examples
    --------
    >>> study = open_study("demo", n_images=500)
    >>> study.dissect("M").labels()
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    setups = dict(chosen.setups)
    for name, entry in (targets or {}).items():
        entry = dict(entry)
        if "target" not in entry:
            raise ValueError(f"targets[{name!r}] has {sorted(entry)}, but no 'target', such as 'timm/resnet18'")
        last = list(chosen.setups.values())[-1]
        own = _dissector_named(entry.pop("dissector")) if "dissector" in entry else (last.dissector, last.dissector_options)
        setups[name] = Setup(entry.pop("target"), own[0], target_options=entry, dissector_options=own[1])
    if dissector:
        spec, options = _dissector_named(dissector)
        setups = {name: replace(setup, dissector=spec, dissector_options=options) for name, setup in setups.items()}
        concepts = concepts or (OWN_LABELS if spec == OWN_LABELS else "")
    options = dict(probe_options or {}) if probe else dict(chosen.probe_options) | dict(probe_options or {})
    options |= {key: value for key, value in {"n_images": n_images, "seed": seed}.items() if value is not None}
    similarity = dict(chosen.similarity_options) | ({} if lam is None else {"lam": lam})
    chosen = replace(
        chosen,
        setups=setups,
        probe=probe or chosen.probe,
        probe_options=options,
        concepts=concepts or chosen.concepts,
        top_k=chosen.top_k if top_k is None else top_k,
        layers=layers or chosen.layers,
        similarity_options=similarity,
    )
    return Study(chosen, store_dir(), figures_dir() / profile, PassOptions(progress=progress))


def _dissector_named(text: str) -> tuple[str, dict]:
    """A dissector's name and options: "labels:class" is "labels" with the column "class"."""
    spec, _, column = text.partition(":")
    return spec, {"column": column} if column else {}


def store_dir() -> Path:
    """Where activations are kept: the environment variable MDISSECT_STORE, else data/store."""
    return Path(os.environ.get("MDISSECT_STORE") or data_dir() / "store")


def figures_dir() -> Path:
    """Where figures go: the environment variable MDISSECT_FIGURES, else figures/ beside data/."""
    return Path(os.environ.get("MDISSECT_FIGURES") or data_dir().parent / "figures")
