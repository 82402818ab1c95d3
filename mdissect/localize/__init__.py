"""Where in the image a neuron responds.

Activation maps and their overlays, receptive fields, and how well a map points at a finding; also Mammo-FActOR's
heatmaps, and detectors of findings.
"""

from mdissect.localize.comparison import compare_localisation
from mdissect.localize.detect import DetectionModel, detect, load_detector, save_detector
from mdissect.localize.detections import detection_scores
from mdissect.localize.factor import (
    FactorModel,
    Heatmaps,
    attribute_scores,
    heatmaps,
    overlay_source,
)
from mdissect.localize.factor_files import load_factor, save_factor
from mdissect.localize.maps import activation_map, activation_maps, check_neuron, overlay, peaks, upsample
from mdissect.localize.pointing import box_region, iou, of_finding, overlap_scores, pointing_game, pointing_summary, top_region
from mdissect.localize.receptive import Patch, ReceptiveField, receptive_field, top_patch

__all__ = [
    "DetectionModel", "FactorModel", "Heatmaps", "Patch", "ReceptiveField", "activation_map", "activation_maps",
    "attribute_scores", "box_region", "check_neuron", "compare_localisation", "detect", "detection_scores", "heatmaps", "iou",
    "load_detector", "load_factor", "of_finding", "overlap_scores", "overlay", "overlay_source", "peaks", "pointing_game",
    "pointing_summary", "receptive_field", "save_detector", "save_factor", "top_patch", "top_region", "upsample",
]  # fmt: skip
