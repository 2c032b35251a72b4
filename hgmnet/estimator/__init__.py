"""Training on one's own images, from arrays or files to a model folder: `fit`."""
