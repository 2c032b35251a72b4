"""Training: batches, augmentation, loss, the loop, checkpoints, several devices; see `fit`."""
