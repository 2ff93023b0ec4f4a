"""The way of a request's frame to the line and back."""
