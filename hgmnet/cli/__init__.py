"""The command `hgmnet` for a model folder: predict, export, serve, demo, score.

Imports everything of hgmnet, inside the command that needs it.
"""
