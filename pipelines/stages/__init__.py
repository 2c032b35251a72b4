"""One module per DVC stage, with `run(root, sections...)`; `runner` calls it.

A stage's module and all it imports are its deps in dvc.yaml (`make deps`).
"""
