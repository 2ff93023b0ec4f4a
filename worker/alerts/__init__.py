"""When to alert, decided without input or output, and the sinks that tell people."""
