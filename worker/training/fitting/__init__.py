"""The fit of a student to its teacher: recipe, loop, checkpoints, and the frameworks that compute it.

Importing this package imports neither paddle nor torch; `paddle_fitter` and `torch_fitter` do.
"""
