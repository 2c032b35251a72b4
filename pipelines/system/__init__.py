"""DVC, git, processes, addresses and HTML: thin layers over other programs.

Imports `hgmnet.errors` and `hgmnet.data.images`; can't change a model.
"""
