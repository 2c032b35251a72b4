"""The operation: what runs, when, and what it does to the outside world."""
