"""Mammogram phantoms: their factors, their images, and reports that are true of them.

Everything follows from a seed and an index; `Truth` holds what is shown, `masks` where.
"""

from mdissect.phantom.mammograms.factors import Truth, sample_truth, truth_of_row
from mdissect.phantom.mammograms.mammogram import GENERATOR_VERSION, masks, render, render_with_truth

__all__ = ["GENERATOR_VERSION", "Truth", "masks", "render", "render_with_truth", "sample_truth", "truth_of_row"]
