"""Fixtures of the whole suite."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Every process that tests start would otherwise compile what it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and small sums are
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # slower on several threads

import hypothesis
import matplotlib
import numpy as np
import pytest
from filelock import FileLock
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from common.files import sha256_of
from common.processes import Outcome, begun, outcome_of
from common.workers import supervised_map
from tests.browser import find_browser, headless

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from landmarks.find.finder import LandmarkFinder
    from pipeline.example_cohort import ExampleCohort

matplotlib.use("Agg")
# A test is wrong or right however busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None, max_examples=50)
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Leave what is imported out of every search for garbage, and search less often."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


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


@lru_cache
def _hash_of_state(path: Path, _size: int, _written: int) -> str:
    return sha256_of(path)


@pytest.fixture(scope="session", autouse=True)
def models_are_hashed_once() -> Iterator[None]:
    """Every extraction hashes the landmark model, 100 MB, twice."""

    def remembered(path: Path) -> str:
        state = path.stat()
        return _hash_of_state(path, state.st_size, state.st_mtime_ns)

    with pytest.MonkeyPatch.context() as patch:
        for module in ("landmarks.predictor", "common.provenance"):
            patch.setattr(f"{module}.sha256_of", remembered)
        yield


@pytest.fixture(scope="session")
def finder() -> LandmarkFinder:
    """Finder with the installed predictor, loaded once."""
    from landmarks.find.finder import LandmarkFinder
    from landmarks.predictor import find_predictor

    return LandmarkFinder(find_predictor())


def here_if_one(
    function: Callable[..., Any],
    items: Sequence[Any],
    *,
    jobs: int,
    start: Callable[[], Any],
    scheduler: str | None = None,
    **options: Any,
) -> Iterator[Outcome]:
    """`supervised_map` whose single worker is this process."""
    if jobs > 1 or scheduler is not None:
        options |= {"jobs": jobs, "start": start, "scheduler": scheduler}
        yield from supervised_map(function, items, **options)
        return
    state, refusal = begun(start)
    if refusal is not None:
        raise UserError(refusal)
    for index, item in enumerate(items):
        yield outcome_of(function, state, index=index, item=item)


def backwards_here(
    function: Callable[..., Any], items: Sequence[Any], *, start: Callable[[], Any], **_: Any
) -> Iterator[Outcome]:
    """`supervised_map` that begins with the last item: no row may depend on order or company."""
    for found in here_if_one(function, items[::-1], jobs=1, start=start):
        yield replace(found, index=len(items) - 1 - found.index)


@contextmanager
def one_worker_here() -> Iterator[None]:
    """Measure in this process: a worker takes seconds to start and to load the landmark model.

    Worker processes are tested in tests/common/test_workers.py, tests/landmarks/test_extraction.py
    and tests/pipeline/test_interruptions.py.
    """
    modules = (
        "landmarks.find.extraction", "landmarks.check.altered", "htnet.micro.clips.folder",
        "datasets.simulated.photo_cohort",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(f"{module}.supervised_map", here_if_one)
        yield


@pytest.fixture(scope="module")
def workers_here() -> Iterator[None]:
    """The same for all tests of a module that ask for one job."""
    with one_worker_here():
        yield


@pytest.fixture(scope="session")
def simulated_cohort(tmp_path_factory: pytest.TempPathFactory) -> ExampleCohort:
    """Two dozen simulated patients, drawn and measured once for all test processes: only read them.

    They are the notebooks' patients, smaller and without altered copies. The folder above theirs is
    the notebooks' output folder.
    """
    import pipeline.example_cohort as module

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulated"
    with (
        FileLock(f"{folder}.lock"), one_worker_here(), pytest.MonkeyPatch.context() as patch
    ):  # fmt: skip
        patch.setenv(module.OUTPUT_VARIABLE, str(folder))
        patch.setattr(module, "WIDTH", 240)
        patch.setattr(module, "HEIGHT", 320)
        patch.setattr(module, "extract", partial(module.extract, tta=0, overlays=True))
        return module.example_cohort()


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
    from common.grading.plots import _confusion

    blank = io.BytesIO()
    Image.new("RGB", (400, 300), "white").save(blank, "png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, file, **_: file.write(blank.getvalue()))
        yield
    _confusion.cache_clear()  # else a blank one would be found there by others


@pytest.fixture(scope="module")
def coarse_maps() -> Iterator[None]:
    """Two steps for each map of what moved a grade; how exact maps are is tested with the maps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("htnet.palsy.maps._STEPS", 2)
        yield


def _built(build: Callable[[int], Any], options: dict[str, int], seed: int) -> Any:
    return build(seed).set_params(**options)


@pytest.fixture(scope="module")
def without_search() -> Iterator[None]:
    """One candidate for each grader, few trees, one exchange: choosing is tested elsewhere."""
    from classifiers.graders.registry import GRADERS, REGRESSORS

    with pytest.MonkeyPatch.context() as patch:
        for of in (GRADERS, REGRESSORS):
            for name, entry in list(of.items()):
                few = {"n_estimators": 25} if "n_estimators" in entry.build(0).get_params() else {}
                build = partial(_built, entry.build, few)
                patch.setitem(of, name, replace(entry, search={}, build=build))
        patch.setattr("classifiers.graders.validation.SEARCHED_SCALERS", ())
        patch.setattr("classifiers.commands.fit.EXCHANGES", 1)
        yield
