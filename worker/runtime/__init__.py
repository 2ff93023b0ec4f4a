"""Processes: the supervisor, the worker with its three stages, the alert loop."""
