"""From predictions to figures: rows per image, subgroups, drift, and the promotion rule.

Imports inference, calibration, metrics, splitting and their imports.
"""
