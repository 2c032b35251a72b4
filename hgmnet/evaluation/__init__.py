"""Evaluation of predictions: rows per image, figures, subgroups, drift, and the promotion rule."""
