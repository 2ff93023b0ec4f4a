"""From a result to the bytes of an answer."""
