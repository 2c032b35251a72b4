"""Training on one's own images, from arrays or files to a model folder: `fit`.

Imports config, data, models, splitting, inference, training, calibration and evaluation.
"""
