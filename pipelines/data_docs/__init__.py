"""Great Expectations' pages, made readable without a network."""
