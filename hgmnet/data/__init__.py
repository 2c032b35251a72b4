"""Reading, generating, grouping, splitting and storing images."""
