"""Serve a model over HTTP: `api` for programs, `demo` a page for users.

Imports prediction, evaluation, pages and their imports; the caller loads models from a registry.
"""
