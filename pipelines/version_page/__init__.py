"""The page about one registered version, for the person who signs: evidence, changes, decisions."""
