"""The layers that count are those that tell painted defects best."""

import numpy as np

from worker.capture.generated import GeneratedLine
from worker.training.data import Samples
from worker.training.layers import CANDIDATES, choose_layers
from worker.training.make import frozen_network, transforms_of
from worker.training.weights import Weights, draw, fold

SIDE = 64


def samples(count: int, start: int = 0) -> Samples:
    line = GeneratedLine(seed=1, size=SIDE)
    return Samples((line.render(start + seq, "good").image for seq in range(count)), transforms_of((SIDE, SIDE)))


def spoilt(weights: Weights, layer: str) -> Weights:
    """A student that differs from its teacher in the last convolution of a layer, and so from there on."""
    name = f"{layer}.1.conv2.weight"
    noise = np.random.default_rng(0).normal(0, weights[name].std(), weights[name].shape)
    return weights | {name: (weights[name] + noise).astype(np.float32)}


def test_a_layer_in_which_student_and_teacher_agree_on_everything_is_not_taken() -> None:
    teacher = fold(draw(3))
    network = frozen_network(teacher, spoilt(teacher, "layer2"))

    layers, found = choose_layers(network, samples(4), samples(3, 50), seed=0)

    assert layers == (2, 3)  # the product with layer1 is 0 everywhere
    assert found[1, 2, 3] == 0.5
    assert found[2, 3] != 0.5
    assert choose_layers(network, samples(4), samples(3, 50), seed=0) == (layers, found)


def test_all_layers_are_taken_where_they_tell_more() -> None:
    teacher = fold(draw(3))
    network = frozen_network(teacher, spoilt(teacher, "layer1"))

    layers, found = choose_layers(network, samples(4), samples(0), seed=0)

    assert set(found) == set(CANDIDATES)
    assert found[layers] == max(found.values())
