"""Mammogram phantoms and natural scenes with known truth, and the demo models trained on them."""
