"""Fixtures of the image branch; everything is drawn in the test and takes milliseconds."""

from __future__ import annotations

import pytest
import torch

from htnet.palsy.faces import LabelledFaces
from htnet.palsy.recipe import Recipe
from htnet.recipe import recipe_from
from tests.htnet.drawn_faces import RECIPE, cohort


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share the machine, and small products are slower on several threads."""
    torch.set_num_threads(1)


@pytest.fixture
def recipe() -> Recipe:
    return recipe_from(Recipe, RECIPE, source="test")


@pytest.fixture(scope="session")
def drawn() -> LabelledFaces:
    return cohort()
