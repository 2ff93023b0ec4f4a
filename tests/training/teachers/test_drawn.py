"""A random teacher is one that shows something."""

import numpy as np

from worker.capture.generated import GeneratedLine
from worker.training.data import Samples
from worker.training.make import transforms_of
from worker.training.teachers.drawn import random_teacher


def test_a_random_teacher_is_spread_out_and_follows_its_seed() -> None:
    line = GeneratedLine(seed=1, size=64)
    samples = Samples([line.render(seq, "good").image for seq in range(4)], transforms_of((64, 64)))

    first = random_teacher(3, samples)

    assert all(np.isfinite(value).all() for value in first.values())
    assert all(np.array_equal(value, first[name]) for name, value in random_teacher(3, samples).items())
    assert not np.array_equal(first["conv1.weight"], random_teacher(4, samples)["conv1.weight"])
