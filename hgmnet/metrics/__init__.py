"""Metrics: Dice, outlines, lesions, classification, bootstrap; and the list of all of them."""
