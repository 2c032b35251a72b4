"""A model over HTTP: `api` for programs, `demo` a page for readers.

Imports config, data, models, phantom, metrics, pages, inference and evaluation.
"""
