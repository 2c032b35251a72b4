"""Predictions of large folders and tables, and int8 exports evaluated on val."""
