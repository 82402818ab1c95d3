"""``python -m mdissect atlas``: results as one HTML file."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mdissect.arguments import some_path
from mdissect.commands.settings import parse_settings
from mdissect.files import whole_file
from mdissect.paths import check_writable, checkout

if TYPE_CHECKING:
    from mdissect.dissection import Dissection
    from mdissect.study import Study

DEMO = ("M", "C1", "C2", "C3", "C4")  # networks of the demo's atlas
LEVEL, RESAMPLES = 0.05, 30  # false discovery rate; resamples for the labels' stability
DEMO_IMAGES = 800  # pictures: all of the probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    parser.add_argument("results", nargs="+", metavar="[NAME=]RESULT", help="folders that Dissection.save wrote")
    parser.add_argument("--probe", help="the images, such as phantom, vindr or folder; without it: no pictures")
    parser.add_argument("--probe-set", **pairs, dest="probe_settings", help="options of the probe: path=my_images")
    parser.add_argument(
        "--target", nargs="+", action="extend", default=[], metavar="[NAME=]SPEC", dest="targets",
        help="the networks, for activation maps and weights of classes; with several results by their names",
    )  # fmt: skip
    parser.add_argument("--output", default="atlas.html", help="the file (default: atlas.html)")
    parser.add_argument("--q", type=float, help="compare labels with chance at this false discovery rate, such as 0.05")
    parser.add_argument(
        "--evidence", action="store_true",
        help="measure for every label whether it predicts unseen patients, its stability, and how alike the top images are "
        "(about a minute for 2,048 neurons and 4,000 images); implies --q 0.05",
    )  # fmt: skip
    parser.add_argument("--images", type=int, default=8000, help="pictures at most (default: 8000)")
    parser.add_argument("--megabytes", type=float, default=60.0, help="size of the file at most (default: 60)")
    parser.add_argument("--title", default="", help="by default the names of the results")
    parser.add_argument("--blind", action="store_true", help="a reader study: labels are hidden until own words are saved")
    parser.add_argument("--judge", type=int, metavar="N", help="a reader study of N neurons drawn from each layer")


def run(options: argparse.Namespace) -> int:
    """Write the atlas and say its size; returns 0."""
    from mdissect.atlas import write_atlas
    from mdissect.dissection import Dissection
    from mdissect.explorers import Notes
    from mdissect.models import load_target
    from mdissect.probes import load_probe

    output = some_path("--output", options.output)
    check_writable(output.parent, "--output names another file")
    folders = named(options.results, "RESULT")
    specs = targets(options.targets, list(folders))
    found = {name: Dissection.load(folder) for name, folder in folders.items()}
    settings = parse_settings(options.probe_settings, "--probe-set")
    if settings and options.probe is None:
        raise ValueError("--probe-set gives options of a probe; name it with --probe")
    probe = None if options.probe is None else load_probe(options.probe, **settings)
    target = {name: load_target(spec) for name, spec in specs.items()} or None
    trust = None
    if options.evidence:
        found, trust = _with_evidence(found, LEVEL if options.q is None else options.q)
    elif options.q is not None:
        trust = {name: one.labels(q=options.q) for name, one in found.items()}
    limits = {"images": options.images, "megabytes": options.megabytes}
    asked = options.blind or options.judge is not None
    notes = Notes(output.with_suffix(".csv"), blind=options.blind, neurons=options.judge) if asked else None
    print(write_atlas(found, probe, path=output, target=target, trust=trust, title=options.title, notes=notes, **limits))
    return 0


def _with_evidence(found: Mapping[str, "Dissection"], q: float) -> tuple[dict, dict]:
    """The results with evidence attached, and their labels compared with chance and resampled patients."""
    from mdissect.trust import evidence, stability

    steady = {name: stability(one, n_boot=RESAMPLES) for name, one in found.items()}
    trust = {name: one.labels(q=q, stability=steady[name]) for name, one in found.items()}
    return {name: one.with_columns(evidence(one)) for name, one in found.items()}, trust


def demo_atlas() -> str:
    """Write the demo's atlas, build/atlas.html, from what the notebooks left in the store; says what was written."""
    from mdissect.atlas.page import page_digest
    from mdissect.study import open_study

    study = open_study("demo", progress=False)
    made = study.kept(_demo_page, ignore=["study"])(study.identity(), page_digest(), study)
    path = (checkout() or Path.cwd()) / "build" / "atlas.html"
    with whole_file(path, private=True) as file:
        file.write(made["page"].tobytes())
    return f"{path}: {made['said']}"


def _demo_page(identity: object, page: str, study: "Study") -> dict:
    """The bytes of the demo's atlas, and what it holds; `identity` and `page` are what these depend on."""
    import numpy as np

    from mdissect.atlas import write_atlas
    from mdissect.models import load_target
    from mdissect.trust import evidence, stability

    setups = {name: study.profile.setups[name] for name in DEMO}
    plain = {name: study.dissect(name) for name in DEMO}
    found = {name: one.with_columns(study.kept(evidence)(one)) for name, one in plain.items()}
    steady = {name: study.kept(stability)(one, n_boot=RESAMPLES) for name, one in plain.items()}
    target = {name: load_target(setups[name].target, **setups[name].target_options) for name in DEMO}
    trust = {name: one.labels(q=LEVEL, store=study.store, stability=steady[name]) for name, one in plain.items()}
    probe = study.probe(setups[DEMO[0]].probe)
    options = {"images": DEMO_IMAGES, "title": "mdissect demo: generated images", "store": study.store}
    with TemporaryDirectory() as folder:
        written = write_atlas(found, probe, path=Path(folder) / "atlas.html", target=target, trust=trust, **options)
        page_bytes = np.frombuffer(written.path.read_bytes(), np.uint8)
    return {"page": page_bytes, "said": written.holds}


def named(given: Sequence[str], what: str) -> dict[str, str]:
    """ "NAME=VALUE" by name; a value alone is named by its last part. ValueError: a name twice, or an empty one."""
    found: dict[str, str] = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or "/" in name:
            name, value = Path(one).resolve().name, one
        if not name or not value:
            raise ValueError(f"{what} {one!r} must be a folder, or NAME=folder")
        if name in found:
            raise ValueError(f"{what}: two results are called {name!r} ({found[name]} and {value}); write NAME=folder")
        found[name] = value
    return found


def targets(given: Sequence[str], results: Sequence[str]) -> dict[str, str]:
    """The network of each result by its name. ValueError: without a name where there are several, or of no result."""
    found: dict[str, str] = {}
    for one in given:
        name, separator, spec = one.partition("=")
        if not separator or "/" in name:
            if len(results) > 1:
                raise ValueError(f"--target {one}: there are several results; write NAME={one}, of {', '.join(results)}")
            name, spec = results[0], one
        if name not in results:
            raise ValueError(f"--target {one}: no result is called {name!r}; there are {', '.join(results)}")
        if name in found:
            raise ValueError(f"--target {one}: result {name!r} has the target {found[name]} already")
        if not spec:
            raise ValueError(f"--target {one}: the network is missing; write {name}=demo/mammo, for instance")
        found[name] = spec
    return found
