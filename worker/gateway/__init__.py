"""The HTTP service: a request becomes a frame on the line, and waits for its verdict."""
