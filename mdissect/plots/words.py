"""Words of a network's concepts, sized by similarity; nothing is computed here."""

from collections.abc import Collection, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mdissect.arguments import POSITIVE, kind_of, tables_with
from mdissect.plots.style import CATEGORY_COLOURS, group_style, text_colour
from mdissect.signatures import validated

MOST_WORDS = 30  # of a cloud
LARGEST_WORD = 80  # pixels, of a cloud 1000 pixels wide


def _weights(name: str, value: Mapping[str, float]) -> dict[str, float]:
    kind_of(name, value, Mapping, "{word: weight}")
    return {word: POSITIVE(f"{name}[{word!r}]", weight) for word, weight in value.items()}


@validated(tables=tables_with("concept", "similarity", made_by="analysis.learned(...)"))
def word_clouds(
    fig: Figure, tables: Mapping[str, pd.DataFrame], category_of: Mapping[str, str], same_scale: Collection[str] = ()
) -> Figure:
    """A word cloud for each setup, three in a row, with a legend of the categories.

    >>> word_clouds(fig, {"M": learned(m, tau)}, category_of, same_scale=["M", "G by M"])  # doctest: +SKIP

    Parameters
    ----------
    tables : mapping of setup to DataFrame
        Columns concept and similarity, the best first (`analysis.learned`). At most `MOST_WORDS` are drawn, as many as have
        room; the title says how many.
    category_of : mapping of concept to broad category
    same_scale : collection of str
        Setups whose similarities can be compared: their words have one scale, the others a scale of their own.
    """
    columns = min(len(tables), 3)
    axes = fig.subplots(-(-len(tables) // columns), columns, squeeze=False).ravel()
    for ax in axes[len(tables) :]:
        ax.set_axis_off()
    largest = max((tables[name].similarity.max() for name in same_scale if name in tables and len(tables[name])), default=None)
    for ax, (name, table) in zip(axes, tables.items(), strict=False):
        drawn = table.head(MOST_WORDS)
        words = dict(zip(drawn.concept, drawn.similarity.clip(lower=0.01), strict=True))
        n_shown = _draw(ax, words, category_of, largest=largest if name in same_scale else None)
        shown = f"{n_shown} of {len(table)} concepts" if n_shown < len(table) else f"{len(table)} concepts"
        own = "" if name in same_scale or len(tables) == 1 else "\n(another dissector: sizes on their own scale)"
        ax.set_title(f"{name}: {shown}{own}", fontsize=10)
    there = {category_of.get(word, "").partition("; ")[0] for table in tables.values() for word in table.concept}
    handles = [Patch(facecolor=text_colour(colour), label=name) for name, colour in CATEGORY_COLOURS.items() if name in there]
    fig.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return fig


@validated(words=_weights)
def word_cloud(
    ax: Axes, words: Mapping[str, float], category_of: Mapping[str, str], seed: int = 0, largest: float | None = None
) -> Axes:
    """Words sized by weight and coloured by broad category.

    >>> word_cloud(ax, {"mass": 3.1, "implant": 2.4}, {"mass": "Findings and characterizations"})  # doctest: +SKIP

    Parameters
    ----------
    words : mapping of word to positive weight
        Without words a note is drawn.
    category_of : mapping of word to broad category
        Of several ("a; b", as in `Dissection.labels`) the first counts; a word without one is grey.
    seed : int
        Of the words' places.
    largest : float, optional
        The weight of the largest size, for several clouds on one scale; that of the heaviest word when None.
    """
    _draw(ax, words, category_of, seed, largest)
    return ax


def _draw(
    ax: Axes, words: Mapping[str, float], category_of: Mapping[str, str], seed: int = 0, largest: float | None = None
) -> int:
    """`word_cloud`; returns how many of the words had room."""
    ax.set_axis_off()
    if not words:
        ax.text(0.5, 0.5, "no concept passes", ha="center", va="center", transform=ax.transAxes)
        return 0
    from wordcloud import WordCloud

    def colour(word: str, **_) -> str:
        return text_colour(group_style(category_of.get(word.strip(), ""))["facecolor"])

    cloud = WordCloud(
        width=1000,
        height=800,
        margin=6,
        background_color="white",
        color_func=colour,
        random_state=seed,
        prefer_horizontal=1.0,
        relative_scaling=0.5,
        min_font_size=24,
        max_font_size=int(LARGEST_WORD * (max(words.values()) / largest if largest else 1)),
        max_words=MOST_WORDS,
    ).generate_from_frequencies({f" {word} ": weight for word, weight in words.items()})  # spaces keep words apart
    ax.imshow(cloud.to_array(), interpolation="bilinear")
    return len(cloud.layout_)
