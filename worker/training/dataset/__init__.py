"""A data set on disk: its layouts, what is wrong with it, and the way from one layout to another. Without paddle."""
