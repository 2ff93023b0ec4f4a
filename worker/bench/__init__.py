"""`line-worker bench`: how fast this machine inspects, and how much of that is lost on the way.

In one run, on the same frames and cores, in rounds that take turns, so that what else the machine does hits all alike:

engine     prepared batches through the device, one process for each device (alone.py)
limit      decode, preprocess and infer in one process without Redis (alone.py)
pipeline   the whole way: a camera, Redis, `line-worker run`, verdicts on the results stream (line.py, camera.py)
paddlex    PaddleX's own predict loop, where a Python that has it is named (paddlex_loop.py)

A figure is the median of its rounds, a ratio the quotient of two medians.
"""
