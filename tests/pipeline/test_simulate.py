"""The command simulate, on a cohort and on a portrait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.command_line import run
from common.errors import UserError
from common.photos import read_photo
from common.tables import read_manifest
from common.truth import read_truth
from datasets.simulated.face import draw_patient, render_photo
from landmarks.check.asymmetry import asymmetry_kept
from landmarks.check.errors import evaluate
from landmarks.tables import points_of, read_landmarks
from pipeline.commands.simulate import simulate
from run_pipeline import app


def test_a_cohort_is_drawn_by_the_command_line_into_a_new_folder_only(tmp_path: Path) -> None:
    """The run's own lock lies in the folder meanwhile, and is no cohort of somebody else."""
    words = ["simulate", str(tmp_path / "cohort"), "--patients", "1", "--width", "160"]
    assert run(app, words) == 0
    assert len(list((tmp_path / "cohort").rglob("*.jpg"))) == 8
    assert (tmp_path / "cohort" / "true_landmarks.csv").is_file()
    assert run(app, [*words, "--seed", "1"]) == 2


def test_a_portrait_smiles_on_the_strong_side_only(tmp_path: Path, portrait_path: Path) -> None:
    out = tmp_path / "warped"
    simulate(out, from_photo=portrait_path, grade=6, side="right", photo_task="full_smile")
    table = read_landmarks(out / "landmarks.csv").set_index("image_id")
    rest, smile = (
        points_of(table.loc[[f"astronaut_{task}.png"]])[0] for task in ("rest", "full_smile")
    )
    moved = np.linalg.norm(smile - rest, axis=1)
    right_corner, left_corner = moved[48], moved[54]
    assert left_corner > 3 * right_corner
    assert read_photo(out / "astronaut_rest.png").pixels.shape == (512, 512, 3)


def test_a_portrait_without_a_face_is_refused(tmp_path: Path) -> None:
    import cv2

    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(UserError, match="No face was found"):
        simulate(tmp_path / "out", from_photo=wall)


def test_portraits_become_patients_whose_truth_moves_with_the_picture(
    tmp_path: Path, workers_here: None
) -> None:
    """Two people from the front, and one who looks aside."""
    import cv2

    folder, out = tmp_path / "portraits", tmp_path / "out"
    folder.mkdir()
    person = draw_patient(seed=2, grade=1, side="none", kind="none")
    rgb, points = render_photo(person, "rest", width=240, height=320)
    aside = points + [0.1 * np.ptp(points[:, 0]), 0.0] * (np.arange(68) == 30)[:, None]
    for name, own in (("front", points), ("front2", points), ("aside", aside)):
        cv2.imwrite(str(folder / f"{name}.png"), rgb[..., ::-1])
        np.savetxt(folder / f"{name}.pts", own + 1)
    result = simulate(out, from_photos=folder, seed=1, jobs=1)

    assert result.exit_code == 3
    assert list(result.left_out) == ["aside.png"]
    manifest = read_manifest(out / "manifest.csv")
    assert len(manifest) == len(result.photographs) == 18
    assert manifest["hb_grade"].dropna().unique().tolist() == [1, 2]
    assert nothing_asked_of(manifest[manifest["plain_image_id"].isna()])
    truth = read_truth(manifest)
    kept = asymmetry_kept(evaluate(truth, truth, manifest))
    assert set(kept["measured"]) == {"change"}
    assert set(kept["photographs"]) == {8}  # those of the palsied patient
    assert kept["kept"].tolist() == pytest.approx([1.0] * 4)
    plain = points_of(truth)[0]
    assert np.ptp(plain, axis=0) == pytest.approx(np.ptp(points, axis=0), abs=0.01)

    before = {path: path.read_bytes() for path in sorted(out.glob("*/*.jpg"))}
    simulate(out, from_photos=folder, seed=1, jobs=2)
    assert all(path.read_bytes() == data for path, data in before.items())


def nothing_asked_of(portraits: pd.DataFrame) -> bool:
    """Whether the portraits themselves have no grade, no side and no movement."""
    sides = set(portraits["side"]) == {"unknown"}
    return sides and bool(portraits[["hb_grade", "task"]].isna().all(axis=None))
