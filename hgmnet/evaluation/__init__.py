"""From predictions to figures: rows per image, subgroups, drift, and the rule of promotion.

Imports inference, calibration, metrics, splitting and what they import.
"""
