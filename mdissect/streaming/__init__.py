"""Labels of any number of images in bounded memory: arrays are read from disk in blocks of images or of neurons.

The same numbers as in memory, up to rounding, for every rule of `mdissect.similarity` and for calibrated labels.
"""

from mdissect.streaming.judging import judge_large
from mdissect.streaming.nulls import large_null
from mdissect.streaming.rows import Rows
from mdissect.streaming.rules import Streamed
from mdissect.streaming.scratch import on_disk_by_column, on_disk_by_row
from mdissect.streaming.sims import Sims
from mdissect.streaming.whole import in_blocks, is_streamed, on_disk, streamed_parts

__all__ = [
    "Rows", "Sims", "Streamed", "in_blocks", "is_streamed", "judge_large", "large_null", "on_disk", "on_disk_by_column",
    "on_disk_by_row", "streamed_parts",
]  # fmt: skip
