"""Great Expectations rules for a data set, its pages, and the page of near-duplicates."""
