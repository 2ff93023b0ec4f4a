"""Which engine, in which precision, runs a bundle on a device: golden frames, the gate, measuring, choosing."""
