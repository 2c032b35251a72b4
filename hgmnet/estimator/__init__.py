"""Training on one's own images, from arrays or files to a model folder, in one call.

Imports training, calibration, splitting and evaluation; `fit` is what users call.
"""
