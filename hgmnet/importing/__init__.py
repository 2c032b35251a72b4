"""Sources of images in any layout, written out as `<class>/<stem>.png` with masks: `importer`."""
