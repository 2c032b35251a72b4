"""The challenger compared with the champion, and who may serve.

Imports registry; hands out `promote`.
"""
