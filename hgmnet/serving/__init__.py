"""A model over HTTP: `api` for programs, `demo` a page for people.

Imports prediction, evaluation, pages and what they do; whoever knows a registry fills the slot.
"""
