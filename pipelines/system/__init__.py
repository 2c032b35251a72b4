"""DVC, git, processes and addresses: thin layers over other programs.

Imports `hgmnet.errors`; can't change a model.
"""
