"""Drawings of two setups beside each other; nothing is computed here."""

from matplotlib.figure import Figure

from mdissect.analysis import RULES
from mdissect.claims import Pair
from mdissect.plots import CATEGORY_COLOURS, CATEGORY_HATCHES, DOMAIN_COLOURS, category_legend, grouped_bars, layer_lines


def draw_pair(fig: Figure, pair: Pair) -> Figure:
    """Thresholds by layer, mammography and other concepts, the three foremost categories: the paper's figures 12 and 13."""
    lines, domains, broad = fig.subplots(1, 3, width_ratios=[1, 1.35, 1.35])
    layer_lines(lines, pair.tau)
    lines.set(title="(a) thresholds", ylabel=f"tau: {RULES[pair.rule]}".replace(" of ", "\nof "))
    grouped_bars(domains, pair.domains, "domain", pair.count)
    category_legend(domains, list(DOMAIN_COLOURS), loc="upper left")
    domains.set(title="(b) domains", ylabel=f"{pair.count} with labels that count")
    domains.set_ylim(top=1.15 * domains.get_ylim()[1])  # room for the legend
    grouped_bars(broad, pair.top, "broad_category", pair.count, CATEGORY_COLOURS, CATEGORY_HATCHES)
    category_legend(
        fig, list(CATEGORY_COLOURS), loc="outside lower right", ncols=6, fontsize=8, title="categories of (c)", title_fontsize=8
    )
    broad.set(title="(c) three foremost categories", ylabel=f"{pair.count} with labels that count")
    return fig
