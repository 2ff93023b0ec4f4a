"""Tests of the running system: real processes, started as a user starts them."""
