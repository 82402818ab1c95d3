"""How the shipped demo models and classifiers are made: drawn, trained and scored from fixed seeds.

``python -m mdissect pretrain`` runs it.
"""
