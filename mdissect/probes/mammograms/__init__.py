"""Public data sets of mammograms.

Their tables, what the cells mean, their files, and how these are prepared for a model.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__, {"meanings": "birads density laterality", "preparation": "RELEASED Preparation"}
)
