"""How the shipped demo models and classifiers were made: drawn, trained and described again from fixed seeds.

``python -m mdissect pretrain`` runs it.
"""
