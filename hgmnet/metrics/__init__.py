"""Formulas: Dice, outlines, lesions, classification, bootstrap; and the list of all metrics.

Imports data and config, knows no model and no file.
"""
