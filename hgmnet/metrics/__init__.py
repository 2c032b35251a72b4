"""Formulas: Dice, outlines, lesions, classification, bootstrap; and the list of all metrics.

Imports data and config; uses no models and no files.
"""
