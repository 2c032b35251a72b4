"""The command `hgmnet` for a model folder: predict, export, serve, demo, score.

Imports everything, inside the functions: `--help` loads nothing heavy.
"""
