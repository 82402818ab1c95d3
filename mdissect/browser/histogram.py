"""A histogram whose bins can be chosen, as a widget."""

import anywidget
from traitlets import Dict, List

from mdissect.browser.assets import HISTOGRAM, scripts, styles


class HistogramPlot(anywidget.AnyWidget):
    """Bars of all images, or a line for each group; `chosen` is the pair of edges of the bin that the reader chose, or [].

    `spread`: edges, groups (name, n, shares, colour, dash, auc or None) and the name of the split; `marks`: the activations of
    the images shown.
    """

    _esm = scripts(*HISTOGRAM, "histogram_widget")
    _css = styles("histogram")

    spread = Dict({"edges": [], "groups": [], "split": ""}).tag(sync=True)
    marks = List().tag(sync=True)
    chosen = List().tag(sync=True)
