"""A Python that has its imports behind it: in tests `python -m pipelines` is a fork of it.

`launcher.start` makes a folder with a program `python` (client.py) and, in the background, a
process that imports what the project imports and then only forks (server.py). Tests and the
commands that they run find that program as `sys.executable`. `-m` with one of `client.MODULES`, a
script, and a worker of pytest-xdist become a fork, with the caller's arguments, folder,
environment, limits, signals and files; all else runs in the real interpreter. With
HGMNET_TEST_PYTHON=real in the environment, everything does.
"""
