"""Training: batches, augmentation, loss, the loop, checkpoints, several devices; see `fit`.

Imports config, data, models and splitting.
"""
