"""The figures of a study: what stands under them, where they go, what they were drawn from."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mdissect.analysis import RULES
from mdissect.arguments import texts
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.files import checksum
from mdissect.paths import FIGURES, from_environment, other_figures_dir
from mdissect.plots import Picture, png_of
from mdissect.plots import shown as picture_of
from mdissect.signatures import validated
from mdissect.study.captions import add_note, counted, networks, probes
from mdissect.study.claims import write as write_claims
from mdissect.study.profiles import Profile, trained_again


class Pictures:
    """What `Study` has for its figures and claims; it gives the profile, the dissections and the folder of the figures."""

    profile: Profile
    concepts: ConceptSet
    figures: Path
    level: float | None
    known_only: bool

    def dissect(self, name: str) -> Dissection:
        """The dissection of a setup."""
        raise NotImplementedError

    def kept(self, function: Callable, ignore: Sequence[str] = ()) -> Callable:
        """A function whose results are kept."""
        raise NotImplementedError

    @property
    def concept_settings(self) -> dict[str, str]:
        """The concept set in a figure's settings: its name and checksum. Figures of setups have it without being asked."""
        return {"concepts": Path(self.profile.concepts).name, "concepts_checksum": concepts_checksum(self.concepts)}

    @validated(rule=RULES)
    def passing(self, rule: str = "top", shared: bool = False) -> str:
        """In words: which labels count (by each setup's own tau, or the largest of those shown), how many images a neuron."""
        return counted(self.profile.top_k, self.level, rule, shared, self.known_only)

    @validated()
    def note(self, *setups: str, counting: str = "") -> str:
        """What stands under a figure: its networks, layers and probes in words, then which labels count."""
        found = {name: self.dissect(name) for name in setups}
        words = (networks(found, self.profile.setups), probes(found.values())) if found else ()
        return " ".join(part for part in (*words, counting) if part)

    @validated()
    def show(self, fig, name: str, *setups: str, alt: str, counting: str = "", **settings) -> Picture:
        """Save a figure (`save_figure`) with a note under it, and give it as a picture for a notebook.

        Parameters
        ----------
        fig : Figure
            It is closed, so that the notebook does not show it twice.
        alt : str
            What can be seen, for readers who cannot see it.
        counting : str
            Which labels count, where the figure shows any: see `passing`.
        """
        alt = alt.replace("**", "")  # the words of a notebook's sentence, without its bold type
        intervals = "Thin bars: 95 % bootstrap intervals." if settings.get("n_boot") else ""
        spread = self._spread(setups, settings.get("trainings") or ())
        add_note(fig, self.note(*setups, counting=" ".join(part for part in (counting, intervals, spread) if part)))
        saved = self.save_figure(fig, name, *setups, alt=alt, **settings)
        drawn = checksum(saved.with_suffix(".json").read_bytes())  # has all values of the figure, and is as it was if they are
        png = self.kept(_pixels, ["fig"])((drawn, version("matplotlib")), fig)
        return picture_of(fig, alt, png.tobytes())

    def _spread(self, setups: Sequence[str], trainings: Sequence[str]) -> str:
        """In words: over which trainings the spread of each setup is; "" without further ones."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, own in self.profile.setups.items():
            if name not in setups:
                continue
            again = {one: trained_again(own, self.profile.trainings.get(one, {})) for one in trainings}
            if varied := tuple(one for one, setup in again.items() if setup not in (None, own)):
                groups.setdefault(varied, []).append(name)
        said = [f"{', '.join(names)}: the shipped one, {', '.join(varied)}" for varied, names in groups.items()]
        return f"Lines with ends: least and most over trainings of the networks ({'; '.join(said)})." if said else ""

    @validated()
    def save_claims(self, claims: Sequence, name: str, *setups: str, **settings) -> Path:
        """Write claims and their total beside the figures (`mdissect.study.claims.write`); returns the path.

        `setups` and `settings` as for `save_figure`; claims with other settings than the file there go to build/figures/.
        """
        settings = self._settings(name, setups, settings)
        path = self._folder(name, settings, "settings") / f"{name}.json"
        write_claims(claims, path, settings)
        return path

    @validated(name=lambda name, value: texts(name, value)[0])
    def save_figure(self, fig, name: str, *setups: str, **settings) -> Path:
        """Write a figure as PNG, SVG and JSON with the settings of its dissections; returns the PNG's path.

        `setups` are those that the figure shows; without any it is of none, such as a simulation. `settings` are the
        parameters that the figure depends on beside those. An existing figure is only replaced when it
        changed (see `mdissect.plots.save_figure`), and never by one with other settings: that goes to build/figures/, with a
        message, unless the environment variable MDISSECT_FIGURES says where figures go.
        """
        from mdissect.plots import save_figure

        settings = self._settings(name, setups, settings)
        folder = self._folder(name, settings)
        try:
            return save_figure(fig, folder / name, settings)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"cannot write {name} to {folder} ({reason}); {FIGURES} names another folder for figures") from error

    def _settings(self, name: str, setups: Sequence[str], settings: Mapping) -> dict:
        """What a file was made from: the study's settings, the given ones, and those of its dissections."""
        from mdissect.plots import plain_settings

        shown = {setup: self._provenance(setup) for setup in setups}
        own = {"layers": self.profile.layers, "calibrated": self.level, "known_only": self.known_only} if setups else {}
        own = (self.concept_settings if setups else {}) | {key: value for key, value in own.items() if value}
        return plain_settings({"profile": self.profile.name, "figure": name, **own, **settings, "setups": shown})

    def _folder(self, name: str, settings: Mapping, part: str = "") -> Path:
        """Where a file with these settings goes: beside the figures, or to build/figures/ where it has others there.

        `part` names the part of the file's JSON that holds the settings; "": all of it.
        """
        from mdissect.plots.saving import DRAWN, saved_settings

        kept = None if from_environment(FIGURES) else saved_settings(self.figures / name)
        kept = kept.get(part) if kept is not None and part else kept
        if kept is None or not (changed := _changed({k: v for k, v in kept.items() if k not in DRAWN}, settings)):
            return self.figures
        folder = other_figures_dir() / self.profile.name
        others = f"{', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''}"
        print(f"{name} goes to build/figures/{folder.name}: the one in figures/ has other settings ({others})")
        return folder

    def _provenance(self, name: str) -> dict:
        """A setup's settings, the same on every processor: of untrained weights the seed, not the hash."""
        settings = self.dissect(name).settings
        seed = self.profile.setups[name].target_options.get("untrained")
        return settings if seed is None else settings | {"target_weights": f"drawn with seed {seed}"}


@validated()
def concepts_checksum(concepts: ConceptSet) -> str:
    """A checksum of a concept set's names and categories, in their order: sets of equal name and length can differ."""
    rows = concepts.table[["concept", "category", "broad_category"]].astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def _pixels(known_by: tuple, fig) -> np.ndarray:
    """The PNG that a notebook shows of a figure, as bytes (n,); `known_by` identifies the figure of a kept one."""
    return np.frombuffer(png_of(fig), dtype=np.uint8)


def _changed(kept, now, name: str = "") -> list[str]:
    """The names of the settings that differ; of nested ones the innermost."""
    if not (isinstance(kept, Mapping) and isinstance(now, Mapping)):
        return [name] if kept != now else []
    return list(dict.fromkeys(found for one in sorted({**now, **kept}) for found in _changed(kept.get(one), now.get(one), one)))
