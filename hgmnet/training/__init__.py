"""Training: batches, augmentation, loss, the loop, checkpoints, several devices.

Imports data, models and config; start with `fit.fit`.
"""
