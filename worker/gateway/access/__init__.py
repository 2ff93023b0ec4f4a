"""Who may ask, and how often: keys, their file, rates."""
