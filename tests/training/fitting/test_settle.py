"""The statistics of a student whose weights have come to rest."""

import numpy as np

from worker.capture.generated import GeneratedLine
from worker.training.data import Samples
from worker.training.fitting.settle import settled
from worker.training.framework import F, paddle
from worker.training.make import transforms_of
from worker.training.network import Backbone, fresh_student
from worker.training.weights import STUDENT, Weights, draw

SIDE = 64


def student() -> Weights:
    return fresh_student(draw(3, STUDENT)).weights()


def samples(count: int) -> Samples:
    line = GeneratedLine(seed=1, size=SIDE)
    return Samples((line.render(seq, "good").image for seq in range(count)), transforms_of((SIDE, SIDE)))


def test_one_batch_gives_its_own_mean_and_variance() -> None:
    learned = samples(5)

    found = settled(student(), learned)

    kernel = paddle.to_tensor(student()["conv1.weight"])
    seen = F.conv2d(paddle.to_tensor(learned.batch(range(5))), kernel, stride=2, padding=3).numpy()
    np.testing.assert_allclose(found["bn1.running_mean"], seen.mean((0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(found["bn1.running_var"], seen.var((0, 2, 3)), rtol=1e-3)


def test_every_image_counts_and_the_parameters_stay() -> None:
    learned = samples(40)

    found = settled(student(), learned)

    kernel = paddle.to_tensor(student()["conv1.weight"])
    seen = F.conv2d(paddle.to_tensor(learned.batch(range(40))), kernel, stride=2, padding=3).numpy()
    np.testing.assert_allclose(found["bn1.running_mean"], seen.mean((0, 2, 3)), atol=0.01 * seen.std())
    for name, value in student().items():
        assert np.array_equal(found[name], value) or "running" in name


def test_what_the_fit_left_of_statistics_does_not_count() -> None:
    learned, far = samples(20), student()
    for name in far:
        if "running" in name:
            far[name] = far[name] + 7

    one, other = settled(student(), learned), settled(far, learned)

    assert all(np.array_equal(value, other[name]) for name, value in one.items())


def test_at_rest_a_student_computes_what_it_did_when_it_learned() -> None:
    learned = samples(16)
    x = paddle.to_tensor(learned.batch(range(16)))
    learning, resting = fresh_student(student()), Backbone(folded=False).load(settled(student(), learned))
    learning.train()
    resting.eval()

    with paddle.no_grad():
        pairs = list(zip(learning(x), resting(x), strict=True))

    for wanted, found in pairs:
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=0.01 * float(wanted.numpy().std()))
