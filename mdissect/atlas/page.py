"""The page of an atlas: its template, style and script, and data as JSON that cannot leave its place."""

import base64
import hashlib
import html
import json
import re
from importlib import resources

from mdissect.browser import HISTOGRAM, VIEWER, scripts, styles

SCRIPTS = (
    "lookup", "search", "verdicts", "lists", "table", "gallery", "map", "concepts",
    "images", "further", "neuron", "concept", "front", "main",
)  # fmt: skip
POLICY = "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def opening(title: str, data: dict) -> str:
    """The page up to the pictures: it shows the table before they are read."""
    style = part("atlas.css") + styles("viewer", "histogram")
    script = "\n".join([scripts(*VIEWER, *HISTOGRAM), *(part(f"{name}.js") for name in SCRIPTS)])
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    policy = POLICY.format(style=_hash(style), script=_hash(script))
    filled = {"@TITLE@": html.escape(title), "@POLICY@": policy, "@STYLE@": style, "@DATA@": as_json(data), "@SCRIPT@": script}
    return "".join(filled.get(piece, piece) for piece in _pieces(part("atlas.html")))


def page_digest() -> str:
    """What the page's look depends on, beside the data: its template, styles and scripts."""
    own = [part("atlas.html"), part("atlas.css"), *(part(f"{name}.js") for name in SCRIPTS)]
    shared = [styles("viewer", "histogram"), scripts(*VIEWER, *HISTOGRAM)]
    return hashlib.sha256("\0".join([*own, *shared]).encode()).hexdigest()


def block(kind: str, first: int, rows: list) -> str:
    """A block of data: rows that begin with the one of number `first`."""
    return f'<script type="application/json" class="{kind}" data-first="{first}">{as_json(rows)}</script>\n'


CLOSING = "</body>\n</html>\n"


def as_json(value: object) -> str:
    """JSON in plain ASCII that is safe inside a script element: no <, > or & stands in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def part(name: str) -> str:
    """A file of the page."""
    return resources.files("mdissect.atlas").joinpath("page", name).read_text(encoding="utf-8")


def _pieces(template: str) -> list[str]:
    """A template cut at its marks, so that nothing filled in is read as a mark."""
    return re.split("(@[A-Z]+@)", template)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
