"""New thresholds for a model that is there: scores of good frames from a folder or a line, and thresholds from them."""
