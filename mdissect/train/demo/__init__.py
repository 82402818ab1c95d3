"""Generates data for the shipped demo models and classifiers, trains and scores them, from fixed seeds.

``python -m mdissect pretrain`` runs it.
"""
