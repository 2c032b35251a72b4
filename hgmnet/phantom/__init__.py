"""Synthetic breast ultrasound for the quickstart and the tests."""
