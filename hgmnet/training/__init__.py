"""Learning: batches, augmentation, loss, the loop, checkpoints, several devices.

Imports data, models and config; `fit.fit` is the way in.
"""
