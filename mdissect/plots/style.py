"""What all figures share: one style, one palette, legends, an image on its axes.

The palette has a colour (Okabe-Ito, safe for colour-blind readers) and a hatch for each broad category and each setup; every
group is also written out in words.
"""

from collections.abc import Callable, Iterable
from functools import wraps

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from mdissect.concepts import OTHER, TAXONOMY
from mdissect.plots.palette import CATEGORY_COLOURS as CATEGORY_COLOURS
from mdissect.plots.palette import UNGROUPED as UNGROUPED
from mdissect.signatures import validated
from mdissect.wording import percent as percent

CATEGORY_HATCHES = dict(zip(TAXONOMY, ("//", "..", "", "xx", "--", "\\\\"), strict=True))
DOMAIN_COLOURS = {"mammography": "#0072B2", "other": CATEGORY_COLOURS[OTHER]}
DOMAIN_HATCHES = {"mammography": "", "other": "\\\\"}
GROUP_COLOURS, GROUP_HATCHES = CATEGORY_COLOURS | DOMAIN_COLOURS, CATEGORY_HATCHES | DOMAIN_HATCHES
# Colour, marker and hatch of the paper's setups; networks trained on natural images are orange, M and its probes dark grey.
SETUPS = {
    "M": ("#444444", "o", ""),
    "G": ("#D55E00", "s", "//"),
    "G by M": ("#CC79A7", "D", "\\\\"),
    "C1": ("#E69F00", "^", "//"),
    "C2": ("#56B4E9", "v", ".."),
    "C3": ("#0072B2", "P", "xx"),
    "C4": ("#009E73", "X", "\\\\"),
    "M on implants": ("#444444", "p", ".."),
    "A": ("#D55E00", "s", "//"),
    "B": ("#444444", "o", ""),
    "C": ("#D55E00", "s", "//"),
    "D": ("#444444", "o", ""),
}
# Of other setups, in the order in which a figure has them.
SETUP_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00")
SETUP_MARKERS = ("^", "D", "v", "P", "X", "s")
SETUP_HATCHES = ("..", "xx", "\\\\", "--", "++", "//")
READABLE = 4.5  # contrast of small text (WCAG 2.2, AA)
STYLE = {"legend.frameon": False, "patch.edgecolor": "white", "patch.force_edgecolor": True, "patch.linewidth": 0.6}
NUMBER_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}  # keeps a number readable on a hatch


def styled(draw: Callable[..., Axes]) -> Callable[..., Axes]:
    """A function that draws on `ax`, in the style of all figures and without a frame above and to the right."""

    @wraps(draw)
    def draw_in_style(ax: Axes, *args, **options) -> Axes:
        with rc_context(STYLE):
            draw(ax, *args, **options)
            plain_texts(ax)
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    return draw_in_style


@validated()
def plain_texts(drawn: Artist) -> None:
    """Show the texts of a figure, or a part of it, as they are: a "$" in the name of a concept begins no formula."""
    for text in drawn.findobj(Text):
        text.set_parse_math(False)


def group_style(group: str) -> dict[str, str]:
    """Colour and hatch of a broad category or domain; of several ("a; b") the first counts."""
    first = group.partition("; ")[0]
    return {"facecolor": GROUP_COLOURS.get(first, UNGROUPED), "hatch": GROUP_HATCHES.get(first, "")}


@validated()
def setup_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour, marker and hatch of the setups of a figure: the paper's setups look the same in every figure.

    >>> setup_styles(["M", "mine"])["M"]
    {'color': '#444444', 'marker': 'o', 'hatch': ''}
    """
    names = list(dict.fromkeys(names))
    others = [name for name in names if name not in SETUPS]
    found = {}
    for name in names:
        i = others.index(name) if name in others else 0
        own = tuple(styles[i % len(styles)] for styles in (SETUP_COLOURS, SETUP_MARKERS, SETUP_HATCHES))
        found[name] = dict(zip(("color", "marker", "hatch"), SETUPS.get(name, own), strict=True))
    return found


@validated()
def contrast(one: str, other: str = "white") -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2).

    >>> round(contrast("black"), 1), round(contrast("#E69F00"), 1)
    (21.0, 2.3)
    """
    dark, bright = sorted(_luminance(colour) for colour in (one, other))
    return (bright + 0.05) / (dark + 0.05)


@validated()
def text_colour(colour: str) -> str:
    """A colour dark enough for text on white: itself, or mixed with black until it has the contrast `READABLE`.

    >>> text_colour("#0072B2"), text_colour("#E69F00")
    ('#0072b2', '#9e6d00')
    """
    red, green, blue = to_rgb(colour)
    for share in np.arange(1, 0, -0.01):
        darker = to_hex((red * share, green * share, blue * share))
        if contrast(darker) >= READABLE:
            return darker
    return "#000000"


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def percent_axis(axis: Axis) -> None:
    """Write an axis of shares in per cent, with a decimal where its ticks are not whole ones."""

    def written(share: float, _position: int) -> str:
        ticks = 100 * axis.get_majorticklocs()
        return percent(share, digits=0 if np.allclose(ticks, ticks.round()) else 1)

    axis.set_major_formatter(written)


@validated()
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


@validated()
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
    ax.spines[:].set_visible(False)
    return ax
