"""Sources of images in any layout, written out as `<class>/<stem>.png` with masks.

Imports data and config. The entry point is `importer.lay_out`; each format is a module of
`formats`.
"""
