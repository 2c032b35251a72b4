"""Bounds of params.yaml and clauses of pccp.yaml, evaluated on a model's figures."""
