"""`python -m worker` is `line-worker`."""

from worker.cli import main

main()
