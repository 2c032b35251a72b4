"""Predictions over HTTP by the champion; `demo` is a page for people.

Imports registry and prediction.
"""
