"""A Python that has its imports behind it: `python -m pipelines` in tests forks instead of starting.

`launcher.start` makes a folder with a program `python` (client.py) and, in the background, a
process that imports what the project imports and then only forks (server.py). Tests and the
commands that they run find that program as `sys.executable`; `-m pipelines`, `-m dvc` and a script
become a fork, with the caller's arguments, folder, environment, limits, signals and files; all else
runs in the real interpreter. HGMNET_TEST_PYTHON=real in the environment has everything run there.
"""
