"""From photographs to a grade by a kept grader: patients, movements, failures, redaction."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from classifiers.commands.fit import fit
from classifiers.commands.grade import grade, movement_of
from classifiers.graders.model_store import CARD_FILE, GRADER_FILE, SUMS_FILE
from common.errors import UserError
from common.files import patient_of, sha256_of
from common.photos import read_photo
from pipeline.example_cohort import ExampleCohort

pytestmark = pytest.mark.usefixtures("workers_here", "without_search")


@pytest.fixture(scope="module")
def cohort(simulated_cohort: ExampleCohort) -> ExampleCohort:
    """The simulated patients, measured."""
    return simulated_cohort


@pytest.fixture(scope="module")
def fitted(
    cohort: ExampleCohort, tmp_path_factory: pytest.TempPathFactory, without_search: None
) -> Path:
    """What `fit` leaves of them."""
    out = tmp_path_factory.mktemp("fitted")
    fit(cohort.features, manifest=cohort.manifest, out=out, n_folds=2, jobs=1, redact=True)
    return out


@pytest.fixture()
def newcomers(cohort: ExampleCohort, tmp_path: Path) -> Path:
    """Photographs of two patients and of a wall, each in a folder."""
    folder = tmp_path / "newcomers"
    for patient in ("Normal/Normal1", "Flaccid/CompleteFlaccid/CompleteFlaccid1"):
        shutil.copytree(cohort.photographs / patient, folder / Path(patient).name)
    (folder / "at_rest").mkdir()
    shutil.copy(folder / "CompleteFlaccid1" / "CompleteFlaccid1_1.jpg", folder / "at_rest")
    (folder / "wall").mkdir()
    cv2.imwrite(str(folder / "wall" / "wall_1.jpg"), np.full((400, 300, 3), 120, dtype=np.uint8))
    return folder


def test_each_folder_is_a_patient_and_failures_keep_their_row(fitted, newcomers, tmp_path, capsys):
    result = grade(newcomers, model=fitted, out=tmp_path / "out", numbered=True, jobs=1)
    table = result.table.set_index("patient_id")
    assert list(table.index) == ["at_rest", "CompleteFlaccid1", "Normal1", "wall"]
    assert table.loc["at_rest", ["status", "side"]].tolist() == ["abstained", "unknown"]
    assert table.loc["at_rest", "missing"].count(",") == 6
    assert result.exit_code == 3
    assert table.loc["wall", "status"] == "failed"
    assert "no_face" in table.loc["wall", "reason"]
    assert table.loc["CompleteFlaccid1", "used"] == 8
    assert "the right" in table.loc["CompleteFlaccid1", "why"]
    said = capsys.readouterr()
    assert "each folder was taken for one patient" in said.out
    assert "at_rest: not graded, 7 of the 8 movements that the grader learned from" in said.out
    assert "simulated patients" in said.err
    written = pd.read_csv(tmp_path / "out" / "grades.csv")
    assert len(written) == 4
    assigned = pd.read_csv(tmp_path / "out" / "manifest.csv")
    assert set(assigned["task"]) >= {"rest", "full_smile"}


def test_measured_and_graded_again_the_answers_are_the_same(cohort, fitted, newcomers, tmp_path):
    """Photographs of the training cohort give the probabilities of the training tables."""
    from classifiers.graders.model_store import load_model
    from classifiers.graders.new_patients import grade_tables

    result = grade(newcomers, model=fitted, out=tmp_path / "out", numbered=True, jobs=1)
    known = grade_tables(
        load_model(fitted / "model"),
        features=cohort.features, manifest=cohort.manifest,
    ).table.set_index("patient_id")  # fmt: skip
    columns = [name for name in known.columns if name.startswith("p_")]
    again = result.table.set_index("patient_id")
    for patient in ("Normal1", "CompleteFlaccid1"):
        np.testing.assert_array_equal(
            again.loc[patient, columns].to_numpy(float), known.loc[patient, columns].to_numpy(float)
        )
        assert again.loc[patient, "side"] == known.loc[patient, "side"]


def model_with(fitted: Path, out: Path, **told: object) -> Path:
    """A copy of the model whose card says otherwise, with sums that hold."""
    shutil.copytree(fitted / "model", out)
    card, before = json.loads((out / CARD_FILE).read_text()), sha256_of(out / CARD_FILE)
    for name, values in told.items():
        card["data"][name] |= values
    (out / CARD_FILE).write_text(json.dumps(card))
    sums = (out / SUMS_FILE).read_text().replace(before, sha256_of(out / CARD_FILE))
    (out / SUMS_FILE).write_text(sums)
    return out


def test_photographs_are_measured_as_those_that_the_grader_learned_from(
    fitted, newcomers, tmp_path, monkeypatch
):
    asked = {"tta": 3, "tta_kind": "box", "tta_average": "median", "relevel": False, "seed": 7,
             "points": "joined", "predictor": "ibug", "faces": "error"}  # fmt: skip
    model = model_with(fitted, tmp_path / "model", measured=asked)
    told = {}

    def extract(manifest, **options):
        told.update(options)
        raise UserError("measured")

    monkeypatch.setattr("classifiers.commands.grade.extract", extract)
    with pytest.raises(UserError, match="measured"):
        grade(newcomers, model=model, out=tmp_path / "out", numbered=True, jobs=1)
    assert asked.items() <= told.items()


@pytest.mark.parametrize("role", ["predictor", "network"])
def test_another_landmark_model_than_the_graders_is_named(
    fitted, newcomers, tmp_path, capsys, role
):
    model = model_with(fitted, tmp_path / "model", sha256={f"{role} of extract": "0" * 64})
    grade(newcomers / "Normal1", model=model, out=tmp_path / "out", numbered=True, jobs=1)
    assert "another landmark model" in "".join(capsys.readouterr())


def page_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_redacted_report_of_grades_shows_no_photograph_and_no_name(fitted, newcomers, tmp_path):
    out = tmp_path / "out"
    result = grade(newcomers, model=fitted, out=out, numbered=True, redact=True, jobs=1)
    page = page_text(result.report)
    for name in ("CompleteFlaccid1", "Normal1", "newcomers"):
        assert name not in page
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        for content in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    ]
    assert len(pictures) == 17 + 3  # every movement, and a card for each of three patients
    photos = [read_photo(path).pixels for path in sorted(newcomers.rglob("*_[1-8].jpg"))]
    for picture in pictures:
        ground = np.abs(picture[..., ::-1].astype(int) - (38, 44, 52)).max(axis=2) < 30
        assert ground.mean() > 0.75
        for photo in photos:
            small = cv2.resize(photo, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
            assert np.abs(small.astype(int) - picture[..., ::-1]).mean() > 20
    open_page = page_text(grade(newcomers, model=fitted, out=out, numbered=True, jobs=1).report)
    assert "CompleteFlaccid1" in open_page


def test_the_manifest_names_the_patients(cohort, fitted, tmp_path):
    table = pd.read_csv(cohort.manifest, dtype={"patient_id": str})
    two = table[table["patient_id"].isin(sorted(set(table["patient_id"]))[:2])].copy()
    two["path"] = [str(cohort.folder / path) for path in two["path"]]
    two.to_csv(tmp_path / "two.csv", index=False)
    result = grade(tmp_path / "two.csv", model=fitted, out=tmp_path / "out", jobs=1)
    assert len(result.table) == 2
    assert result.exit_code == 0
    assert "Patients are those of the manifest." in page_text(result.report)
    with pytest.raises(UserError, match="--numbered is for folders"):
        grade(tmp_path / "two.csv", model=fitted, out=tmp_path, numbered=True)


def test_an_altered_model_is_refused_before_anything_is_measured(fitted, newcomers, tmp_path):
    model = Path(shutil.copytree(fitted, tmp_path / "altered"))
    with (model / "model" / GRADER_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match="was altered"):
        grade(newcomers, model=model, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_without_numbers_are_no_movements(cohort, fitted, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(
        next(cohort.photographs.rglob("Normal1_1.jpg")), tmp_path / "photos" / "holiday.jpg"
    )
    with pytest.raises(UserError, match="ends in a number from 1 to 8"):
        grade(tmp_path / "photos", model=fitted, out=tmp_path / "out", numbered=True)
    with pytest.raises(UserError, match=r'"holiday\.jpg" of .* has none: fill the column task'):
        grade(tmp_path / "photos", model=fitted, out=tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / "measurements").exists()


def test_a_grader_of_photographs_needs_no_movements(cohort, tmp_path):
    fit(
        cohort.features, manifest=cohort.manifest,
        out=tmp_path / "fitted", level="photograph", n_folds=2, grader="majority", jobs=1,
    )  # fmt: skip
    (tmp_path / "photos").mkdir()
    shutil.copy(
        next(cohort.photographs.rglob("Normal1_1.jpg")), tmp_path / "photos" / "holiday.jpg"
    )
    result = grade(tmp_path / "photos", model=tmp_path / "fitted", out=tmp_path / "out", jobs=1)
    assert list(result.table["patient_id"]) == ["photos"]
    assert set(result.table["side"]) <= {"none", "unknown"}
    assert "Right and left are not compared" in page_text(result.report)


def test_patients_and_movements_of_names(tmp_path):
    assert patient_of("ward/p7/img_1.jpg", photos=tmp_path) == "ward/p7"
    assert patient_of("img_1.jpg", photos=tmp_path) == tmp_path.name
    assert patient_of("img_1.jpg", photos=tmp_path / "img_1.jpg") == "img_1"
    assert movement_of("p7/p7_1.jpg") == "rest"
    assert movement_of("p7/8.jpg") == "lower_teeth"
    assert movement_of("p7/IMG_0012.jpg") is None
    assert movement_of("p7/p7_9.jpg") is None
    assert movement_of("p7/smile.jpg") is None
