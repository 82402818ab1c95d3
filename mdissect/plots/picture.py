"""A figure as a notebook shows it: a picture with alternative text for readers who cannot see it."""

import io
from base64 import b64encode

from matplotlib.figure import Figure

from mdissect.signatures import validated

SHOWN_DPI = 90


class Picture:
    """A drawn figure, shown where it is a cell's last value; `alt` says in words what can be seen.

    >>> Picture(fig, "Bars: M detects 82 concepts in its last layer, G by M 59.")    # doctest: +SKIP

    In place of the figure there may be its PNG, as `png_of` draws it.
    """

    def __init__(self, fig: Figure | bytes, alt: str):
        self.png, self.alt = fig if isinstance(fig, bytes) else png_of(fig), alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {"image/png": b64encode(self.png).decode(), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


@validated()
def png_of(fig: Figure) -> bytes:
    """A figure as a notebook shows it, as PNG."""
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=SHOWN_DPI, bbox_inches="tight")
    return drawn.getvalue()


@validated()
def shown(fig: Figure, alt: str, png: bytes | None = None) -> Picture:
    """A figure as a picture for a notebook; it is closed, so that the notebook does not show it twice.

    `png`: what `png_of` drew of it before.
    """
    import matplotlib.pyplot as plt

    plt.close(fig)
    return Picture(png or fig, alt)
