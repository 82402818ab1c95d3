"""Scripts that run in a reader's browser, shared by the explorers (as widgets) and the atlas (inlined).

The viewer of pictures, the histogram, tables that sort and filter, the search box, a place to drop a file on, the button that
copies, and keys.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "copy": "CopyButton",
        "dropped_file": "DroppedFile",
        "histogram": "HistogramPlot",
        "keys": "Keys",
        "passing_picture": "PassingPicture",
        "pixels": "as_png",
        "assets": "HISTOGRAM VIEWER scripts styles",
        "search_box": "SearchBox",
        "table": "Table column",
        "viewer": "COARSE Over Viewer",
    },
)
