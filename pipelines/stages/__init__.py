"""One file per DVC stage, each with `run(root, <its sections of params.yaml>)`."""
