"""Sources of images in any layout, written out as `<class>/<stem>.png` with masks.

Imports data and config. `importer.lay_out` is the way in; a format is a module under `formats`.
"""
