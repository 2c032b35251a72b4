"""What the flows share of Prefect: server, states, artifacts, notifications, parallel tasks."""
