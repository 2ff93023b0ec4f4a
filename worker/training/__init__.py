"""Training of STFPM models: data → network → fit → calibrate → export.

Importing this package does not import paddle; its modules `network`, `fit` and `export` do.
"""
