"""The numbers of a fit."""

import pytest

from worker.errors import SettingsError
from worker.training.fitting.recipe import Recipe
from worker.training.paddlex import make_recipe


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [0.4, 0.4, 0.4]), ("step", [0.4, 0.4, 0.04]), ("cosine", [0.4, 0.2, 0.00004])],
)
def test_the_rate_follows_its_schedule(schedule: str, rates: list[float]) -> None:
    recipe = make_recipe({"schedule": schedule})

    assert [recipe.rate(step, 100) for step in (0, 50, 99)] == pytest.approx(rates, rel=1e-2, abs=1e-4)


def test_a_recipe_is_the_same_when_it_is_read_again() -> None:
    recipe = make_recipe({"size": "320x256", "layer_weights": "0.5,0,1"})

    assert recipe.size == (256, 320)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("given", "found"), [("0.25, 0.5,1", (0.25, 0.5, 1)), ([0, 1, 1], (0, 1, 1)), ("0,0,1", (0, 0, 1))]
)
def test_layer_weights_are_read_as_people_write_them(given: object, found: object) -> None:
    assert make_recipe({"layer_weights": given}).layer_weights == found


def test_a_warm_up_begins_low() -> None:
    recipe = Recipe(warmup_steps=4)

    assert [recipe.rate(step, 100) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"epochs": 0}, "epochs: "),
        ({"epochs": "many"}, "epochs: .*'many'"),
        ({"size": (8, 64)}, "size: wanted WIDTHxHEIGHT in pixels, multiples of 16"),
        ({"size": [64, 64]}, "size: wanted WIDTHxHEIGHT"),
        ({"layer_weights": "2,3"}, r"layer-weights"),
        ({"layer_weights": "1,1,two"}, r"layer-weights"),
        ({"layer_weights": ""}, r"layer-weights"),
        ({"layer_weights": "1,1,-1"}, r"layer-weights"),
        ({"layer_weights": "1,1,nan"}, r"layer-weights"),
        ({"layer_weights": "0,0,0"}, "layer-weights: .*one at least above 0"),
        ({"schedule": "wild"}, "schedule: "),
        ({"learning_rate": float("inf")}, "learning-rate: "),
    ],
)
def test_what_is_not_allowed_is_named(wishes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_recipe(wishes)
