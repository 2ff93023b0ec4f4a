"""`line-worker demo`: the whole system on one machine, from the real commands, with parts whose truth is known."""
