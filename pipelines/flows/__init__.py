"""Prefect flows, a file each."""
