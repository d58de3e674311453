"""A landmark model learns from corrected points; whole patients stay out of the learning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import dlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.files import sha256_of
from common.photos import read_photo
from common.tables import read_manifest, read_table, write_table
from landmarks import refinement_training
from landmarks.find.extraction import SPREADS_FILE
from landmarks.find.finder import LandmarkFinder
from landmarks.points import POINT_COLUMNS
from landmarks.predictor import find_predictor
from landmarks.review.corrections import Journal, Move
from landmarks.tables import LANDMARKS, SPREADS, points_of
from landmarks.training import TrainingFace, TrainingOptions, held_out_patients, train_predictor
from pipeline import refining
from pipeline.commands.train_landmarks import corrected_points, train_landmarks
from tests.landmarks.emotrics_files import write_emotrics_folder

pytestmark = pytest.mark.usefixtures("workers_here")

SMALL = TrainingOptions(cascades=4, trees=20, depth=2, oversampling=5, feature_pool=60)
SHIFT = np.array([0.0, 9.0])  # px: what the "corrected" mouth differs from the usual model


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, portrait):
    """Eight photographs of four pretended patients, made from one portrait, with other points."""
    folder = tmp_path_factory.mktemp("cohort")
    finder = LandmarkFinder(find_predictor())
    rng = np.random.default_rng(0)
    rows, faces = [], []
    for number in range(8):
        turn = cv2.getRotationMatrix2D((256, 256), rng.uniform(-8, 8), rng.uniform(1.0, 1.25))
        rgb = cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        name = f"p{number // 2 + 1}_{number % 2}.png"
        cv2.imwrite(str(folder / name), rgb[..., ::-1])
        found = finder.find_file(folder / name)
        points = found.points.copy()
        points[48:] += SHIFT
        faces.append(TrainingFace(path=folder / name, box=found.box, points=points))
        rows.append({"image_id": name, "path": name, "patient_id": f"p{number // 2 + 1}"})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    table = pd.DataFrame([face.points.ravel() for face in faces], columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", [row["image_id"] for row in rows])
    table.insert(1, "status", "ok")
    assert set(table) <= set(LANDMARKS.columns)
    table.to_csv(folder / "corrected.csv", index=False)
    return folder, faces


def predicted(model: Path, face: TrainingFace):
    grey = read_photo(face.path, grey=True).pixels
    shape = dlib.shape_predictor(str(model))(grey, face.box.rectangle())
    return np.array([(part.x, part.y) for part in shape.parts()], dtype=float)


def test_model_learns_the_corrected_points(cohort, tmp_path):
    _, faces = cohort
    model = train_predictor(faces[:6], out=tmp_path / "m.dat", options=SMALL)
    usual = LandmarkFinder(find_predictor())
    for face in faces[6:]:
        before = np.hypot(*(usual.find_file(face.path).points - face.points)[48:].T).mean()
        after = np.hypot(*(predicted(model, face) - face.points)[48:].T).mean()
        assert after < 0.7 * before


def test_same_seed_same_model(cohort, tmp_path):
    _, faces = cohort
    options = replace(SMALL, cascades=2, trees=5)
    one, two, other = (
        train_predictor(faces[:3], out=tmp_path / f"{i}.dat", options=chosen).read_bytes()
        for i, chosen in enumerate([options, options, replace(options, seed=1)])
    )
    assert one == two
    assert one != other


def test_mirror_teaches_the_other_side(cohort, tmp_path):
    """A fault marked on the right corner of the mouth only is learned on both, half each."""
    _, faces = cohort
    marked = []
    for face in faces:
        points = face.points.copy()
        points[48] += (-20, 0)
        marked.append(replace(face, points=points))
    widths = {}
    for mirror in (False, True):
        model = train_predictor(
            marked, out=tmp_path / f"{mirror}.dat", options=replace(SMALL, mirror=mirror)
        )
        shapes = np.array([predicted(model, face) for face in marked])
        usual = np.array([face.points for face in faces])
        moved = (shapes - usual)[:, [48, 54], 0].mean(axis=0)
        widths[mirror] = (-moved[0], moved[1])
    assert widths[False][0] > 3 * abs(widths[False][1])
    assert widths[True][1] > widths[False][1] + 2


@given(n=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 99), data=st.data())
def test_whole_patients_are_held_out_whatever_the_order(n, share, seed, data):
    patients = [f"p{i}" for i in range(n) for _ in range(2)]
    chosen = held_out_patients(patients, share=share, seed=seed)
    assert 1 <= len(chosen) < n
    shuffled = data.draw(st.permutations(patients))
    assert held_out_patients(shuffled, share=share, seed=seed) == chosen


@pytest.mark.parametrize(
    ("patients", "share", "sentence"),
    [(["a", "a"], 0.5, "1 patient"), (["a", "b"], 0.0, "--held-out"), (["a", "b"], 1.0, "--held")],
)
def test_nothing_to_hold_out(patients, share, sentence):
    with pytest.raises(UserError, match=sentence):
        held_out_patients(patients, share=share, seed=0)


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"nu": 0.0}, "--nu"), ({"nu": 1.5}, "--nu"), ({"trees": 0}, "--trees"),
        ({"depth": 12}, "--depth"), ({"jitter": 0.5}, "--jitter"), ({"seed": -1}, "--seed"),
        ({"feature_pool": 1}, "--feature-pool"), ({"test_splits": 0}, "--test-splits"),
    ],
)  # fmt: skip
def test_impossible_options_are_named(wrong, option):
    with pytest.raises(UserError, match=option):
        TrainingOptions(**wrong)


def test_no_faces():
    with pytest.raises(UserError, match="no face to learn from"):
        train_predictor([], out=Path("never.dat"), options=SMALL)


def run(folder, out, points, **options):
    return train_landmarks(
        folder / "manifest.csv", out=out, points=points, cascades=4, trees=20, depth=2,
        oversampling=5, feature_pool=60, jobs=1, **options,
    )  # fmt: skip


def test_command_says_what_the_model_was_made_from(cohort, tmp_path, capsys):
    folder, _ = cohort
    result = run(folder, tmp_path / "out", folder / "corrected.csv", seed=3)
    assert result.exit_code == 0
    card = json.loads(result.card.read_text())
    assert card["counts"] == {
        "photographs_to_learn_from": 6, "patients_to_learn_from": 3,
        "photographs_held_out": 2, "patients_held_out": 1, "without_face": 0,
    }  # fmt: skip
    assert "consent" in card["licence"]
    assert card["options"]["seed"] == 3
    (patient,) = card["held_out_patients"]
    errors = pd.read_csv(tmp_path / "out" / "errors_after.csv")
    assert set(errors["patient_id"]) == {patient}
    mouth = result.errors.loc["mouth"]
    assert mouth["after"] < 0.8 * mouth["before"]
    assert mouth["change"] == pytest.approx(mouth["after"] - mouth["before"])
    assert np.isnan(mouth["change_low"])  # one patient says nothing about others
    assert "paralysed_side" not in result.errors.index  # no side is named
    assert "Learned from 6 photographs of 3 patients" in capsys.readouterr().out


def test_a_review_is_the_truth_and_says_what_remains(cohort, tmp_path, capsys):
    folder, faces = cohort
    names = [face.path.name for face in faces]
    tables = tmp_path / "tables"
    machine = pd.read_csv(folder / "corrected.csv")
    machine[[f"y_{k}" for k in range(48, 68)]] -= SHIFT[1]
    write_table(machine, tables / "landmarks.csv", schema=LANDMARKS)
    journal = Journal(tables / "corrections.csv")
    for face, name in zip(faces[:7], names, strict=False):
        moves = [
            Move(k, tuple(face.points[k] - SHIFT), tuple(face.points[k])) for k in range(48, 68)
        ]
        journal.add(name, "move", moves)
    result = run(folder, tmp_path / "out", tables, seed=3)
    counts = json.loads(result.card.read_text())["counts"]
    assert counts["photographs_to_learn_from"] + counts["photographs_held_out"] == 7
    assert (counts["photographs_corrected"], counts["points_corrected"]) == (7, 140)
    assert result.remaining is not None
    assert (result.remaining.unseen, result.remaining.timed) == (1, 6)  # none before the first
    assert result.remaining.needed == result.remaining.tested == counts["photographs_held_out"]
    told = capsys.readouterr().out
    assert "minutes of correcting remain" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "7 of 8 photographs with corrected points (140 points)." in page
    assert "How much remains" in page


def as_emotrics(folder, tmp_path):
    table = pd.read_csv(folder / "corrected.csv")
    write_emotrics_folder(table, tmp_path)
    for name in table["image_id"]:
        (tmp_path / name).touch()
    return tmp_path


def as_xml(folder, tmp_path):
    table = pd.read_csv(folder / "corrected.csv")
    images = "".join(
        f'<image file="{folder / row["image_id"]}"><box top="1" left="1" width="9" height="9">'
        + "".join(
            f'<part name="{i:02d}" x="{row[f"x_{i}"]:.0f}" y="{row[f"y_{i}"]:.0f}"/>'
            for i in range(68)
        )
        + "</box></image>"
        for row in table.to_dict("records")
    )
    (tmp_path / "faces.xml").write_text(f"<dataset><images>{images}</images></dataset>")
    return tmp_path / "faces.xml"


@pytest.mark.parametrize("write", [as_emotrics, as_xml])
def test_points_may_come_from_other_programs(cohort, tmp_path, write):
    folder, faces = cohort
    source = write(folder, tmp_path)
    found = corrected_points(read_manifest(folder / "manifest.csv"), source)
    found = found.set_index("image_id").loc[[face.path.name for face in faces]]
    assert list(found["status"]) == ["ok"] * len(faces)
    points = points_of(found)
    assert np.abs(points - [face.points for face in faces]).max() <= 0.5  # they keep whole px


def test_points_of_other_photographs_are_refused(cohort, tmp_path):
    folder, _ = cohort
    table = pd.read_csv(folder / "corrected.csv")
    table["image_id"] = "x" + table["image_id"]
    table.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="none of the manifest's photographs"):
        run(folder, tmp_path / "out", tmp_path / "other.csv")


def test_simulated_patients(shared: Path, tmp_path):
    """On held-out simulated patients the error falls, by more than chance explains."""
    folder = shared / "data" / "sim_meei"
    truth = pd.read_csv(folder / "true_landmarks.csv")
    patients = truth["image"].map(lambda image: Path(image).parent.name)
    some = patients.isin(sorted(set(patients))[::3])
    chosen = truth[some & truth["task"].isin(["rest", "brow_raise", "full_smile", "lower_teeth"])]
    manifest = pd.DataFrame(
        {
            "image_id": chosen["image"],
            "path": [str(folder / image) for image in chosen["image"]],
            "patient_id": [Path(image).parent.name for image in chosen["image"]],
        }
    )
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    points = pd.DataFrame(chosen.iloc[:, 3:].to_numpy(), columns=list(POINT_COLUMNS))
    points.insert(0, "image_id", list(chosen["image"]))
    points.insert(1, "status", "ok")
    points.to_csv(tmp_path / "points.csv", index=False)
    result = train_landmarks(
        tmp_path / "manifest.csv", out=tmp_path / "out", points=tmp_path / "points.csv",
        cascades=6, trees=80, oversampling=8, jobs=1,
    )  # fmt: skip
    error = result.errors.loc["inner"]
    assert error["after"] < 0.8 * error["before"]
    assert error["change_high"] < 0


def test_corrections_refine_the_points_that_are_found(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(refinement_training, "ROUNDS", 1)
    monkeypatch.setattr(refining, "IMPOSED", 1)
    folder, faces = cohort
    result = train_landmarks(
        folder / "manifest.csv", out=tmp_path, points=folder / "corrected.csv", refine="halves",
        seed=3, jobs=1,
    )  # fmt: skip
    assert result.model.name == "predictor.safetensors"
    mouth = result.errors.loc["mouth"]
    assert mouth["after"] < 0.6 * mouth["before"]
    about = json.loads(result.card.read_text())["refinement"]
    assert about["points"] == "halves"
    for name in ("before", "imposed", "after"):
        spreads = read_table(tmp_path / name / SPREADS_FILE, schema=SPREADS)
        assert spreads["halves_share"].notna().any()
    assert len(about["learned_from"]) == 6
    assert about["of_them_imposed"] == 5  # one head is turned too far for the warp
    known = {sha256_of(face.path) for face in faces}
    assert set(about["learned_from"]) < known
    assert "predictor.safetensors" in capsys.readouterr().out
    with pytest.raises(UserError, match="known by its name"):
        train_landmarks(
            folder / "manifest.csv", out=tmp_path / "again", points=folder / "corrected.csv",
            refine="whole", predictor=str(result.model), jobs=1,
        )  # fmt: skip
