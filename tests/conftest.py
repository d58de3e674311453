"""Fixtures of the whole suite."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and small sums are
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # slower on several threads

import hypothesis
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from tests.browser import find_browser, headless

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from landmarks.find.finder import LandmarkFinder

matplotlib.use("Agg")
# A test is wrong or right however busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Test data that does not ship with the project; every test that needs it has a twin."""
    folder = Path(os.environ.get("PALSY_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the test data folder {folder.name}/ is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def portrait_path() -> Path:
    """The public-domain portrait that scikit-image carries."""
    from pipeline.commands.doctor import astronaut_portrait

    return astronaut_portrait()


@pytest.fixture(scope="session")
def portrait(portrait_path: Path) -> NDArray[np.uint8]:
    """The portrait as (512, 512, 3) RGB uint8."""
    from common.photos import read_photo

    return read_photo(portrait_path).pixels


@pytest.fixture(scope="session")
def finder() -> LandmarkFinder:
    """Finder with the installed predictor, loaded once."""
    from landmarks.find.finder import LandmarkFinder
    from landmarks.predictor import find_predictor

    return LandmarkFinder(find_predictor())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser, or a skipped test that says why."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium or Chrome is installed; the pages were read as text instead")
    with headless(executable) as opened:
        yield opened


@pytest.fixture(scope="module")
def figures_not_rendered() -> Iterator[None]:
    """Put a blank picture in place of every figure: rendering takes most of a report's time.

    Figures are drawn for good where reports are opened in a browser (`tests/pipeline`).
    """
    blank = io.BytesIO()
    Image.new("RGB", (400, 300), "white").save(blank, "png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, file, **_: file.write(blank.getvalue()))
        yield


@pytest.fixture(scope="module")
def without_search() -> Iterator[None]:
    """One candidate for each grader and one exchange: what is chosen is tested elsewhere."""
    from classifiers.graders.registry import GRADERS, REGRESSORS

    with pytest.MonkeyPatch.context() as patch:
        for of in (GRADERS, REGRESSORS):
            for name, entry in list(of.items()):
                patch.setitem(of, name, replace(entry, search={}))
        patch.setattr("classifiers.graders.validation.SEARCHED_SCALERS", ())
        patch.setattr("classifiers.commands.fit.EXCHANGES", 1)
        yield
