"""One module per layout of a source: what `detect` recognises and `importer` lays out."""
