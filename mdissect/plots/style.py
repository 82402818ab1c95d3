"""What all figures share: one style, one palette, legends, an image on its axes.

The palette has a colour (Okabe-Ito, safe for colour-blind readers) and a hatch for each broad category and each setup; every
group is also written out in words.
"""

from collections.abc import Callable
from functools import wraps

import numpy as np
import seaborn
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from mdissect.concepts import OTHER, TAXONOMY

CATEGORY_COLOURS = dict(zip(TAXONOMY, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#E69F00", "#009E73"), strict=True))
CATEGORY_HATCHES = dict(zip(TAXONOMY, ("//", "..", "", "xx", "--", "\\\\"), strict=True))
DOMAIN_COLOURS = {"mammography": "#0072B2", "other": CATEGORY_COLOURS[OTHER]}
DOMAIN_HATCHES = {"mammography": "", "other": "\\\\"}
GROUP_COLOURS, GROUP_HATCHES = CATEGORY_COLOURS | DOMAIN_COLOURS, CATEGORY_HATCHES | DOMAIN_HATCHES
SETUP_COLOURS = ("#444444", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
SETUP_MARKERS = ("o", "s", "^", "D", "v", "P")
SETUP_HATCHES = ("", "//", "..", "xx", "\\\\", "--")
UNGROUPED = "#888888"
STYLE = {"legend.frameon": False, "patch.edgecolor": "white", "patch.force_edgecolor": True, "patch.linewidth": 0.6}
NUMBER_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}  # keeps a number readable on a hatch


def styled(draw: Callable[..., Axes]) -> Callable[..., Axes]:
    """A function that draws on `ax`, in the style of all figures and without a frame above and to the right."""

    @wraps(draw)
    def draw_in_style(ax: Axes, *args, **options) -> Axes:
        with rc_context(STYLE):
            draw(ax, *args, **options)
            plain_texts(ax)
        seaborn.despine(ax=ax)
        return ax

    return draw_in_style


def plain_texts(drawn: Artist) -> None:
    """Show the texts of a figure, or a part of it, as they are: a "$" in the name of a concept begins no formula."""
    for text in drawn.findobj(Text):
        text.set_parse_math(False)


def group_style(group: str) -> dict[str, str]:
    """Colour and hatch of a broad category or domain; of several ("a; b") the first counts."""
    first = group.partition("; ")[0]
    return {"facecolor": GROUP_COLOURS.get(first, UNGROUPED), "hatch": GROUP_HATCHES.get(first, "")}


def setup_style(rank: int) -> dict[str, str]:
    """Colour and marker of the setup with this rank in a figure."""
    return {"color": SETUP_COLOURS[rank % len(SETUP_COLOURS)], "marker": SETUP_MARKERS[rank % len(SETUP_MARKERS)]}


def category_legend(ax: Axes | Figure, categories: list[str], **options) -> Axes | Figure:
    """A legend of broad categories (or domains) in the colours and hatches of all figures.

    >>> category_legend(ax, ["Breast locations", "Interpretations"], loc="upper left")  # doctest: +SKIP

    Parameters
    ----------
    ax : Axes or Figure
    categories : list of str
        An unknown one is grey.
    **options
        Of `ax.legend`.
    """
    with rc_context(STYLE):
        ax.legend(handles=[Patch(**group_style(name), label=name) for name in categories], **options)
    return ax


def mammogram(ax: Axes, image: np.ndarray, caption: str = "") -> Axes:
    """An image in its true aspect with a caption under it.

    >>> mammogram(ax, probe[0], probe.ids[0])  # doctest: +SKIP

    Parameters
    ----------
    image : array (height, width[, 3])
        Grey or colour.
    """
    ax.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(caption, fontsize=8)
    plain_texts(ax)
    seaborn.despine(ax=ax, left=True, bottom=True)
    return ax
