"""Prefect code shared by the flows: server, states, artifacts, notifications, parallel tasks."""
