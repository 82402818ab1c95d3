"""The colours of the broad categories, for figures and for pages: without matplotlib, which explorers do not need to open."""

from mdissect.concepts import TAXONOMY

CATEGORY_COLOURS = dict(zip(TAXONOMY, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#E69F00", "#009E73"), strict=True))
UNGROUPED = "#888888"
