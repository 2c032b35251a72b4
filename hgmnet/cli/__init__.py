"""The command `hgmnet` for a model folder: predict, export, serve, demo, score."""
