"""One file per command that is no stage, each with `configure(parser)` and `run(root, args)`."""
