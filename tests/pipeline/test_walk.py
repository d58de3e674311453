"""The README's walk with a clinic's own photographs: from an Excel table to graded patients."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pandas as pd
import pytest

from common.command_line import run
from common.tables import ROMAN
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import render_photo
from run_pipeline import app

pytestmark = pytest.mark.usefixtures("workers_here", "without_search", "figures_not_rendered")

MOVEMENTS = {"rest": "Ruhe", "brow_raise": "Stirnrunzeln", "full_smile": "breites Lächeln"}
SIDES = {"left": "links", "right": "rechts", "none": "keine"}
PATIENTS = 12
SLIP = ("P02/2.jpg", "y_57", "99999")  # photograph, cell and what a slip of the hand wrote there


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PHOTOS, two to a grade, and a table in German beside it."""
    folder = tmp_path_factory.mktemp("clinic")
    rows = []
    for number, patient in enumerate(draw_cohort(PATIENTS, seed=4), start=1):
        for at, (task, words) in enumerate(MOVEMENTS.items(), start=1):
            name = f"P{number:02d}/{at}.jpg"
            (folder / "PHOTOS" / name).parent.mkdir(parents=True, exist_ok=True)
            rgb, _ = render_photo(patient, task, width=240, height=320)
            cv2.imwrite(str(folder / "PHOTOS" / name), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            palsy = patient.palsy
            rows.append({
                "Datei": name, "Pat.-Nr.": f"P{number:02d}", "Bewegung": words,
                "betroffene Seite": SIDES[palsy.side], "HB-Grad": ROMAN[palsy.grade - 1],
                "Untersucher": "K.",
            })  # fmt: skip
    pd.DataFrame(rows).to_excel(folder / "grades.xlsx", index=False)
    return folder


def edited(path: Path, image_id: str, column: str, value: str) -> None:
    """Write one cell of a table, as somebody does who opens it in a spreadsheet."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[table["image_id"] == image_id, column] = value
    table.to_csv(path, index=False)


def test_the_walk_of_the_readme(
    clinic: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clinic)

    def say(line: str, *, code: int = 0) -> str:
        """Run one line of the README; return what it said."""
        assert run(app, line.split()) == code, capsys.readouterr().err
        return capsys.readouterr().out

    # Prepare: foreign headers and words are understood, a column without use is named.
    said = say("prepare folder PHOTOS --table grades.xlsx --out manifest.csv --check")
    assert "36 photographs, 12 patients" in said
    assert '"Untersucher"' in said
    manifest = pd.read_csv("manifest.csv")
    assert set(manifest["task"]) == set(MOVEMENTS)
    assert manifest.groupby("hb_grade")["patient_id"].nunique().tolist() == [2] * 6
    assert set(manifest["side"]) <= set(SIDES)

    # Extract: points from photographs, and overlays to look at.
    said = say("extract manifest.csv --out measured --overlays --tta 0 --jobs 1")
    assert "36 photographs: 36 ok" in said
    assert len(list(Path("measured/overlays").rglob("*.jpg"))) == 36

    # Correct: a slip of the hand fails its photograph by name, and is mended.
    landmarks = pd.read_csv("measured/landmarks.csv").set_index("image_id")
    image_id, cell, slip = SLIP
    edited(Path("measured/landmarks.csv"), image_id, cell, slip)
    moved = landmarks.loc["P01/3.jpg", "x_48"] + 3
    edited(Path("measured/landmarks.csv"), "P01/3.jpg", "x_48", str(moved))
    said = say("features measured/landmarks.csv --out corrected", code=3)
    assert "35 ok, 1 failed" in said and image_id in said
    wrong = pd.read_csv("corrected/features.csv").set_index("image_id")
    assert wrong.loc[image_id, "status"] == "failed"
    assert "57" in pd.read_csv("corrected/landmarks.csv").set_index("image_id").loc[
        image_id, "reason"
    ]  # fmt: skip
    edited(Path("measured/landmarks.csv"), image_id, cell, str(landmarks.loc[image_id, cell]))
    assert "36 ok" in say("features measured/landmarks.csv --out corrected")
    before, after = (
        pd.read_csv(f"{folder}/features.csv").set_index("image_id")
        for folder in ("measured", "corrected")
    )
    changed = (before["f14"] != after["f14"]).to_numpy()
    assert list(after.index[changed]) == ["P01/3.jpg"]

    # Benchmark and fit take the corrected folder as they took the measured one.
    say("benchmark corrected/features.csv --graders logistic --n-folds 2 --jobs 1 --out benchmark")
    assert Path("benchmark/report.html").is_file()
    say("fit corrected/features.csv --n-folds 2 --jobs 1 --out grader")

    # Grade: one new patient with all movements, one at rest only, who gets no grade.
    for name in ("P05/1.jpg", "P05/2.jpg", "P05/3.jpg", "P06/1.jpg"):
        Path("NEW", name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("PHOTOS", name), Path("NEW", name))
    table = pd.read_excel("grades.xlsx")
    new = table[table["Datei"].isin(["P05/1.jpg", "P05/2.jpg", "P05/3.jpg", "P06/1.jpg"])]
    new[["Datei", "Pat.-Nr.", "Bewegung"]].to_excel("new.xlsx", index=False)
    say("prepare folder NEW --table new.xlsx --out new.csv")
    said = say("grade new.csv --model grader --out graded --jobs 1", code=3)
    grades = pd.read_csv("graded/grades.csv").set_index("patient_id")
    assert grades["status"].to_dict() == {"P05": "ok", "P06": "abstained"}
    assert grades.loc["P05", "predicted"] in range(1, 7)
    assert pd.isna(grades.loc["P06", "predicted"])
    assert grades.loc["P06", "side"] == "unknown"
    assert "full_smile" in grades.loc["P06", "reason"]
    assert Path("graded/report.html").is_file()
