"""The notebooks' patients: made once, read afterwards, never written into the checkout by tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipeline import example_cohort as module
from pipeline.example_cohort import (
    OUTPUT_VARIABLE,
    ExampleCohort,
    example_clips,
    example_cohort,
    output_folder,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, workers_here: None) -> Iterator[ExampleCohort]:
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OUTPUT_VARIABLE, str(folder))
        patch.setattr(module, "extract", partial(module.extract, tta=0))
        made = example_cohort(patients=2)
        assert made.folder.parent == folder
        yield made


def test_every_photograph_is_drawn_and_measured(cohort: ExampleCohort) -> None:
    features = pd.read_csv(cohort.features)
    assert len(features) == 2 * 8
    assert set(features["hb_grade"]) == {1, 2}
    assert set(features["status"]) == {"ok"}
    for table in (cohort.manifest, cohort.landmarks, cohort.dists):
        assert list(pd.read_csv(table)["image_id"]) == list(features["image_id"])


def test_a_complete_cohort_is_not_drawn_again(
    cohort: ExampleCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(module, "simulate", refuse)
    assert example_cohort(patients=2) == cohort
    (cohort.features.parent / "run.json").unlink()  # as after a stop half-way
    with pytest.raises(AssertionError, match="drawn again"):
        example_cohort(patients=2)


def test_clips_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path))
    monkeypatch.setattr("datasets.simulated.layouts._CLIPS_PER_SUBJECT", 2)
    folder = example_clips(subjects=1)
    frames = sorted(folder.rglob("*.jpg"))
    assert len({frame.parent for frame in frames}) == 2
    monkeypatch.setattr(module, "simulate", None)
    assert example_clips(subjects=1) == folder


def test_without_the_variable_notebooks_write_beside_themselves(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)
    monkeypatch.setattr(module, "_OUTPUT", tmp_path / "output")
    assert output_folder("x") == tmp_path / "output" / "x"
    monkeypatch.undo()
    assert root / "notebooks" / "output" == module._OUTPUT
    assert "notebooks/output/" in (root / ".gitignore").read_text(encoding="utf-8").splitlines()
