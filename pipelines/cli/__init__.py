"""Command line: one module per group of commands; each only parses, calls and prints.

May import everything, inside the functions: `--help` loads nothing heavy. `main` has the table of
commands.
"""
