"""Which images belong together, and which split each is in.

Imports data and config. Features, near-duplicates, pairs, groups, the locked split, cross-
validation.
"""
