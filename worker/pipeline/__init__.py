"""The in-process API: PaddleX's pipeline, with batches."""
