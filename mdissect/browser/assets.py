"""The scripts and styles of this folder as text."""

from importlib import resources

from mdissect.signatures import validated

VIEWER = ("heat", "viewer", "viewer_controls")
HISTOGRAM = ("histogram",)


@validated()
def scripts(*names: str) -> str:
    """Scripts one after the other; they need no library and import nothing.

    >>> "function makeViewer" in scripts("heat", "viewer", "viewer_controls")
    True
    """
    return "\n".join(_text(f"{name}.js") for name in names)


@validated()
def styles(*names: str) -> str:
    """Style sheets one after the other."""
    return "\n".join(_text(f"{name}.css") for name in names)


def _text(name: str) -> str:
    return resources.files("mdissect.browser").joinpath(name).read_text(encoding="utf-8")
