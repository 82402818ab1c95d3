"""Scripts that run in a reader's browser, shared by the explorers (as widgets) and the atlas (inlined)."""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(__name__, {"passing_picture": "PassingPicture", "search_box": "SearchBox"})
