"""Which images belong together (near-duplicates, pairs, groups), and which split each is in."""
