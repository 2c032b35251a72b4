"""`hgmnet serve`: the champion over HTTP, exchanged without a request being lost."""
