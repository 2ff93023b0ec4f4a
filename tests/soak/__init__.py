"""What a soak watches and how it judges; `tests/benchmarks/soak.py` is the command."""
