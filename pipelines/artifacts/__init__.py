"""Files passed between stages: paths, reading and writing (`io`), types, by writing stage."""
