"""`hgmnet serve` and `hgmnet demo`: the champion over HTTP, for programs and for people."""
