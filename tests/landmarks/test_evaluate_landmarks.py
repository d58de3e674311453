"""`evaluate-landmarks` end to end: from a manifest or XML with truth to tables and a report."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.tables import read_table, write_table
from common.truth import TRUTH_TABLE
from landmarks.check.altered import TILT
from landmarks.check.asymmetry import ASYMMETRY
from landmarks.check.errors import ERRORS
from landmarks.check.scores import GRID, SCORES
from landmarks.commands.evaluate_landmarks import evaluate_landmarks, grid_of
from landmarks.exchange.tables import read_with_truth
from landmarks.find.extraction import landmark_table
from landmarks.find.finder import LandmarkFinder
from landmarks.find.method import POINTS, Method, make_method
from landmarks.points import POINT_COLUMNS, REGIONS
from landmarks.predictor import find_predictor
from landmarks.tables import LANDMARKS

pytestmark = pytest.mark.usefixtures("workers_here")

PLANTED = np.zeros((68, 2))
PLANTED[list(REGIONS["left_eye"])] = [3.0, 4.0]


@pytest.fixture(scope="module")
def points(portrait: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the predictor itself says of the portrait: the truth of these tests."""
    return LandmarkFinder(find_predictor()).find(portrait).points


@pytest.fixture(scope="module")
def cohort(
    tmp_path_factory: pytest.TempPathFactory,
    portrait: NDArray[np.uint8],
    points: NDArray[np.float64],
) -> Path:
    """Two patients with the same portrait, and a third whose photograph holds no face."""
    folder = tmp_path_factory.mktemp("cohort")
    blank = np.full((60, 60, 3), 90, dtype=np.uint8)
    rows = []
    for k, picture in enumerate((portrait, portrait, blank)):
        cv2.imwrite(str(folder / f"p{k}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        rows.append(
            {
                "image_id": f"p{k}.png",
                "path": f"p{k}.png",
                "patient_id": f"00{k}",
                "side": ("left", "right", "none")[k],
                "hb_grade": k + 1,
                "truth_file": TRUTH_TABLE,
            }
        )
    truth = pd.DataFrame([points.reshape(-1)] * 3, columns=list(POINT_COLUMNS))
    truth.insert(0, "image", [row["image_id"] for row in rows])
    truth.to_csv(folder / TRUTH_TABLE, index=False)
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def planted(cohort: Path, points: NDArray[np.float64]) -> Path:
    """A landmark table whose points of the patient's left eye are 5 px off."""
    finder = LandmarkFinder(find_predictor())
    found = {f"p{k}.png": finder.find_file(cohort / f"p{k}.png") for k in range(3)}
    table = landmark_table(found)
    off = (points + PLANTED).reshape(-1)
    table.loc[table["status"] == "ok", list(POINT_COLUMNS)] = off
    write_table(table, cohort / "planted.csv", schema=LANDMARKS)
    return cohort / "planted.csv"


def test_a_planted_error_is_found_in_its_region_and_on_its_side(
    cohort: Path, planted: Path, tmp_path: Path
) -> None:
    result = evaluate_landmarks(cohort / "manifest.csv", out=tmp_path, predictions=(planted,))
    scores = read_table(tmp_path / "landmark_scores.csv", schema=SCORES)
    of = scores[scores["group"] == "all"].set_index(["part", "measure"])["value"]

    assert of[("left_eye", "rmse_px")] == pytest.approx(5.0)
    for region in REGIONS:
        if region != "left_eye":
            assert of[(region, "rmse_px")] == pytest.approx(0.0, abs=1e-9)
    errors = read_table(tmp_path / "landmark_errors.csv", schema=ERRORS).set_index("image_id")
    # The palsy of the first patient is on the left, that of the second on the right.
    assert errors.at["p0.png", "paralysed_side_nrmse_eye"] > 1
    assert errors.at["p0.png", "healthy_side_nrmse_eye"] == pytest.approx(0, abs=1e-9)
    assert errors.at["p1.png", "healthy_side_nrmse_eye"] > 1
    assert errors.at["p1.png", "paralysed_side_nrmse_eye"] == pytest.approx(0, abs=1e-9)
    assert errors.at["p2.png", "status"] == "no_face"
    assert result.exit_code == 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1 of 3 photographs could not be compared (1 no_face)" in page
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["files"]["planted.csv"]["name"] == "planted.csv"
    assert run["counts"] == {"no_face": 1, "ok": 2}


def test_predicting_the_truth_again_has_no_error_and_copies_have_little(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate_landmarks(
        cohort / "manifest.csv", out=tmp_path, tta=3, mirror=True, tilt=True, jobs=1
    )
    grid = read_table(tmp_path / "landmark_grid.csv", schema=GRID).set_index("setting")
    tilt = read_table(tmp_path / "landmark_tilt.csv", schema=TILT)

    assert list(grid.index) == ["plain", "3 copies (rotation normal and box and mirror), levelled"]
    assert grid["nrmse_eye"].iloc[0] == pytest.approx(0.0, abs=1e-9)
    assert 0 < grid["nrmse_eye"].iloc[1] < 10
    assert list(grid["found"]) == [2, 2]
    assert grid["nrmse_difference"].iloc[1] == pytest.approx(grid["nrmse_eye"].iloc[1])
    upright = tilt[(tilt["setting"] == "plain") & (tilt["angle_deg"] == 0)]
    assert upright["value"].tolist() == [pytest.approx(0.0, abs=1e-9)]
    assert set(tilt["angle_deg"]) >= {-20.0, 20.0}
    assert len(pd.read_csv(tmp_path / "landmark_mirror.csv")) == 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for heading in ("Where on the face", "For whom", "Is asymmetry kept?", "treated alike"):
        assert heading in page
    assert "does not diagnose" in page
    printed = capsys.readouterr()
    assert "no_face: p2.png" in printed.err
    assert result.exit_code == 3


def xml_with(faces: str) -> str:
    return f"<?xml version='1.0'?><dataset><images>{faces}</images></dataset>"


def face_xml(name: str, points: NDArray[np.float64]) -> str:
    parts = "".join(
        f"<part name='{i:02d}' x='{x:.0f}' y='{y:.0f}'/>" for i, (x, y) in enumerate(points)
    )
    box = f"<box top='50' left='100' width='80' height='90'>{parts}</box>"
    return f"<image file='{name}'>{box}</image>"


def test_truth_from_dlib_xml(cohort: Path, points: NDArray[np.float64], planted: Path) -> None:
    partly = face_xml("p1.png", points).replace("<part name='67'", "<ignored name='67'")
    source = cohort / "faces.xml"
    source.write_text(xml_with(face_xml("p0.png", points) + partly))
    known = read_with_truth(source)

    assert [name for name, _ in known.photos] == ["p0.png"]
    assert known.photos[0][1] == (cohort / "p0.png").resolve()
    assert "lacks 1 point of 68" in known.truth.set_index("image_id").at["p1.png", "reason"]
    assert "same patient" in known.problems[0]
    result = evaluate_landmarks(source, out=cohort / "xml", predictions=(planted,))
    assert result.chosen.distances[0, 42] == pytest.approx(5.0, abs=0.8)  # XML holds whole px


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("<dataset>", "no whole XML"),
        (xml_with(""), "holds no photograph"),
        (
            xml_with("<image file='a'><box top='1'><part name='0' y='2'/></box></image>"),
            "no x and y at part 0",
        ),
        (
            xml_with(
                "<image file='a'><box top='1' left='1' width='9' height='9'>"
                "<part name='70' x='1' y='2'/></box></image>"
            ),
            'a part "70"',
        ),
    ],
)
def test_a_wrong_xml_is_one_sentence(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "faces.xml").write_text(content)
    with pytest.raises(UserError) as error:
        evaluate_landmarks(tmp_path / "faces.xml", out=tmp_path / "out")
    assert part in str(error.value)
    assert "faces.xml" in str(error.value)


def test_a_manifest_without_truth_is_refused(cohort: Path, tmp_path: Path) -> None:
    bare = pd.read_csv(cohort / "manifest.csv", dtype=str).drop(columns="truth_file")
    bare.to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(UserError, match="truth_file"):
        evaluate_landmarks(tmp_path / "bare.csv", out=tmp_path)


def test_given_points_cannot_be_predicted_again(cohort: Path, planted: Path) -> None:
    with pytest.raises(UserError, match="--predictions"):
        evaluate_landmarks(
            cohort / "manifest.csv", out=cohort / "x", predictions=(planted,), mirror=True
        )


def test_the_grid_is_that_of_the_earlier_study() -> None:
    full = grid_of(make_method(tta=4))
    assert len(full) == len(set(full.values())) == 16
    assert next(iter(full.items())) == ("200 px, grey", Method())
    assert full["300 px, colour, copies, levelled"] == make_method(
        tta=4, relevel=True, colour=True, detection_width=300
    )
    assert len(grid_of(Method())) == 8  # nothing to compare copies with


def test_copies_help_or_do_little_harm_on_simulated_faces(shared: Path, tmp_path: Path) -> None:
    """Mean error of inner points of one simulated patient: a few percent, with and without."""
    folder = shared / "data" / "sim_meei"
    rows = [
        {
            "image_id": f"Normal/Normal1/Normal1_{n}.jpg",
            "path": str(folder / "Normal" / "Normal1" / f"Normal1_{n}.jpg"),
            "patient_id": "Normal1",
            "truth_file": "../../true_landmarks.csv",
        }
        for n in (1, 2)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    result = evaluate_landmarks(tmp_path / "manifest.csv", out=tmp_path / "out", tta=5, jobs=1)

    assert (result.grid["mean_eye"] < 6).all()
    assert result.grid["mean_eye"].diff().iloc[1] < 0.5
    assert result.exit_code == 0


def test_every_kind_of_points_is_asked_what_it_keeps_and_what_it_has_learned_from(
    cohort: Path, tmp_path: Path
) -> None:
    found = evaluate_landmarks(
        cohort / "manifest.csv", out=tmp_path, asymmetry=True, tta=2, seen="yes", jobs=1
    )
    whole = "2 copies (rotation normal and box and mirror), levelled"
    named = [f"{whole}, {POINTS[points]}" for points in ("halves", "own", "joined")]
    kept = read_table(tmp_path / "landmark_asymmetry.csv", schema=ASYMMETRY)
    assert list(kept["setting"].unique()) == ["plain", *named, whole]
    assert kept["kept"].notna().all()
    said = [found.learned[name] for name in ("plain", *named)]
    assert said == ["yes", "yes", "no (own network: renderings alone)", "yes; own network: no"]
