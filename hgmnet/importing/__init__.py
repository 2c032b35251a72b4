"""Import of images in any layout, written as `<class>/<stem>.png` with masks: `importer`."""
