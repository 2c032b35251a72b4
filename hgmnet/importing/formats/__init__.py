"""Formats of sources, one module each, detected by `detect` and imported by `importer`."""
