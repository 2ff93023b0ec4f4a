"""Capture: cameras, videos, folders and generated parts → frames on the line.

`open_source` (open.py) turns a URL-like text into an iterator of pictures; `encode` (encode.py) makes the
bytes that travel; `produce` (produce.py) hands them to a publisher at the wanted rate; `run_produce` (run.py)
does so for several cameras at once.
"""
