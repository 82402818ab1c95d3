"""A pytest plugin: nbval compares the outputs of notebooks up to rounding, and all of them but pictures.

Words must be the same and whole numbers equal; numbers with decimals and percentages may differ in the last printed digit (see
`mdissect.plots.rounding`). A cell may say by a tag that its numbers hang on more: "within-0.01" (shares, percentages as well,
and all other numbers with decimals), "counts-within-1" (whole numbers). There is no tag that leaves a cell out. Nothing may be
written to stderr. The notebook that lists the figures of the others (00) comes last.
"""

import re
from functools import partial

from nbval.plugin import IPyNbCell

from mdissect.plots.rounding import Tolerance, first_difference

TAGS = {re.compile(r"within-(\d+\.\d+)"): ("within", float), re.compile(r"counts-within-(\d+)"): ("counts", int)}
WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
LISTING = "00_"


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, IPyNbCell):
            item.compare_outputs, item.options["check"] = partial(_compare, item), True
    items.sort(key=lambda item: isinstance(item, IPyNbCell) and item.path.name.startswith(LISTING))


def tolerance_of(tags):
    """The tolerance that a cell's tags state."""
    found = {}
    for tag in tags:
        for pattern, (name, number) in TAGS.items():
            if match := pattern.fullmatch(tag):
                found[name] = number(match[1])
        if "within" in tag and not any(pattern.fullmatch(tag) for pattern in TAGS):
            raise ValueError(f"the tag {tag!r} states no tolerance; write within-0.01 or counts-within-1")
    return Tolerance(**found)


def difference(committed, now, tolerance=None):
    """The first difference of a cell's outputs in words; None when they agree."""
    for output in now:
        if output.get("name") == "stderr":
            return f"stderr: {output['text']}"
    if len(committed) != len(now):
        return f"{len(committed)} outputs were committed, now there are {len(now)}: {_kinds(committed)}; now {_kinds(now)}"
    for number, (one, two) in enumerate(zip(map(_texts, committed), map(_texts, now), strict=True), start=1):
        if list(one) != list(two):
            return f"output {number}: {', '.join(one)} was committed, now {', '.join(two)}"
        for kind in one:
            if found := first_difference(one[kind], two[kind], tolerance):
                return f"output {number} of {len(now)}, {kind}: {found}"
    return None


def _compare(cell, now, committed):
    """What nbval asks for: whether the outputs agree; else the difference is left where it looks for it."""
    found = difference(committed, now, tolerance_of(cell.cell.metadata.get("tags", [])))
    cell.comparison_traceback = [] if found is None else [found]
    return found is None


def _texts(output):
    """What is compared of an output, by kind; "" stands for pictures and widgets, which only must be there."""
    if output["output_type"] in ("stream", "error"):
        return {output.get("name", "error"): output.get("text", "")}
    data = output["data"]
    read = {kind: value for kind, value in data.items() if isinstance(value, str) and not kind.startswith("image/")}
    if WIDGET in data:
        read.pop("text/plain", None)
    return {kind: ADDRESS.sub("", read.get(kind, "")) for kind in sorted(data)}


def _kinds(outputs):
    return " + ".join(", ".join(_texts(output)) for output in outputs) or "none"
