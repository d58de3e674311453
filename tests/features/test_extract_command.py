from __future__ import annotations

import builtins
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import features.commands.extract as extract_module
import landmarks.find.extraction as extraction_module
from common.errors import UserError
from common.files import sha256_of
from common.provenance import read_run_record
from common.workers import Outcome
from docs.drawing import schematic_face
from features.commands.extract import ExtractResult, extract
from features.commands.features import features as features_again
from features.tables import read_features
from landmarks.find.detector import FaceBox
from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.find.source import find_source
from landmarks.predictor import find_predictor
from landmarks.review.corrections import Journal, Move, photographs_of
from landmarks.tables import points_of, read_landmarks
from tests.common.photo_files import png_with_header, save, small_portrait

pytestmark = pytest.mark.usefixtures("workers_here")

# What is wrong, the file's name, its status, and words of its reason.
BAD = [
    ("empty", "empty.jpg", "unreadable", "empty (0 bytes)"),
    ("truncated", "truncated.jpg", "unreadable", "cut short"),
    ("text renamed", "notes.jpg", "unreadable", "no photograph that can be read"),
    ("spreadsheet renamed", "grades.png", "unreadable", "no photograph that can be read"),
    ("one pixel", "pixel.png", "no_face", "No face was found"),
    ("bomb header", "bomb.png", "unreadable", "larger than 150 megapixels"),
    ("black", "black.jpg", "no_face", "No face was found"),
    ("noise", "noise.png", "no_face", "No face was found"),
    ("two faces", "two.jpg", "several_faces", "2 faces were found"),
    ("HEIC", "phone.heic", "unreadable", "Most Compatible"),
    ("HEIC renamed", "phone.jpg", "unreadable", "Most Compatible"),
    ("RAW", "camera.NEF", "unreadable", "RAW file"),
    ("floating point", "float.tif", "unreadable", "floating-point"),
    ("link to itself", "loop.jpg", "unreadable", "cannot be opened"),
    ("broken link", "broken.jpg", "unreadable", "cannot be opened"),
    ("pipe", "pipe.jpg", "unreadable", "a folder or a device"),
]
BAD_IDS = [kind for kind, *_ in BAD]
GOOD = [
    "Müller, Jörg.jpg",
    "mislabelled.jpg",
    "p1/smile.jpg",
    "p2/smile.jpg",
    "two\nlines.jpg",
    "웃음.jpg",
]


def make_bad(folder: Path, portrait: np.ndarray) -> None:
    """One file of every kind in `BAD`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.jpg").touch()
    save(folder / "truncated.jpg", portrait)
    content = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "notes.jpg").write_text("second visit, smile\n")
    (folder / "grades.png").write_bytes(b"PK\x03\x04" + bytes(500))
    save(folder / "pixel.png", np.zeros((1, 1, 3), np.uint8))
    png_with_header(folder / "bomb.png", width=50_000, height=50_000)
    save(folder / "black.jpg", np.zeros((200, 200, 3), np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    save(folder / "noise.png", noise)
    head = small_portrait(portrait, side=300)
    save(folder / "two.jpg", np.concatenate([head, head[:, ::-1]], axis=1))
    for name in ("phone.heic", "phone.jpg"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (folder / "camera.NEF").write_bytes(b"MM\0*" + bytes(64))
    from PIL import Image

    Image.fromarray(np.zeros((9, 9), np.float32)).save(folder / "float.tif")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "broken.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "pipe.jpg")


def make_good(folder: Path, portrait: np.ndarray) -> None:
    """One photograph that can be measured of every name in `GOOD`."""
    for number, name in enumerate(GOOD):
        save(folder / name, small_portrait(portrait, shift=number))
    save(folder / "png.png", small_portrait(portrait)).replace(folder / "mislabelled.jpg")


def measure(source: Path, out: Path, **options: object) -> ExtractResult:
    return extract(source, out=out, **({"tta": 0, "jobs": 1} | options))


needs_posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no links and pipes here")


def test_corrections_outlive_another_method_and_are_of_one_photograph(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = 0.0

    def drawn(_do: object, tasks: list, **_options: object) -> Iterator[Outcome]:
        box = FaceBox(0, 0, 9, 9, 1.0, "cnn")
        for index, task in enumerate(tasks):
            points, sha256 = schematic_face() + off, sha256_of(task.path)
            yield Outcome(index, value=FaceLandmarks("ok", points=points, box=box, sha256=sha256))

    monkeypatch.setattr(extraction_module, "supervised_map", drawn)
    source, out = tmp_path / "photos", tmp_path / "out"
    for shade, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        save(source / name, np.full((9, 9, 3), shade, np.uint8))
    measure(source, out)
    table = read_landmarks(out / "landmarks.csv")
    journal = Journal(out / "corrections-anna.csv", photographs=photographs_of(table))
    targets = {}
    for row, name in enumerate(("a.jpg", "b.jpg")):
        start = points_of(table)[row, 48]
        targets[name] = (start[0], start[1] + 9.0)
        journal.add(name, "move", [Move(48, tuple(start), targets[name])])
    kept = journal.path.read_bytes()

    save(source / "b.jpg", np.full((9, 9, 3), 99, np.uint8))  # another photograph of that name
    off = 3.0
    capsys.readouterr()
    found = measure(source, out, relevel=True)
    told = capsys.readouterr()
    assert journal.path.read_bytes() == kept
    assert "b.jpg is another photograph" in told.err
    assert "1 of 3 photographs with corrected points (1 point)" in told.out
    assert found.exit_code == 3
    machine, after = (
        read_landmarks(folder / "landmarks.csv") for folder in (out, out / "corrected-anna")
    )
    assert not np.array_equal(points_of(machine), points_of(table))  # another method
    assert points_of(after)[0, 48] == pytest.approx(targets["a.jpg"])
    assert np.array_equal(points_of(after)[1:], points_of(machine)[1:])
    rows = read_features(out / "corrected-anna" / "features.csv")
    assert rows["points_from"].tolist() == ["corrected", "model", "model"]
    assert rows["points_moved"].tolist() == [1, 0, 0]
    record = read_run_record(out / "corrected-anna")
    assert record is not None
    assert record["counts"]["photographs_corrected"] == 1

    # What is measured again from there says so too; from the model's own points, it does not.
    measured = {
        name: features_again(folder / "landmarks.csv", out=tmp_path / name)
        for name, folder in (("yes", out / "corrected-anna"), ("no", out))
    }
    assert (measured["yes"].source.corrected, measured["no"].source.corrected) == (1, 0)


@needs_posix
def test_everything_at_once(
    tmp_path: Path,
    portrait: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    make_bad(source, portrait)
    make_good(source, portrait)
    (source / "p1" / "back").symlink_to(source, target_is_directory=True)
    (source / "readme.txt").write_text("no photograph")
    (source / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str | Path) -> object:  # the tests may run as root, who may read anything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = measure(source, out, faces="error")
    told = capsys.readouterr()

    table = read_landmarks(out / "landmarks.csv").set_index("image_id")
    assert sorted(table.index) == sorted([name for _, name, *_ in BAD] + GOOD)
    assert (table.loc[GOOD, "status"] == "ok").all()
    lines = [line for line in told.err.splitlines() if not line.startswith("extract: ")]
    for kind, name, status, words in BAD:
        row = table.loc[name]
        assert row["status"] == status, kind
        assert words in row["reason"], kind
        (line,) = (line for line in lines if line.startswith(f"{status}: {name}: "))
        assert words in line, kind
    (warning,) = (line for line in lines if line.startswith("warning: "))
    assert "closed cannot be searched (Permission denied)" in warning
    assert len(lines) == len(BAD) + 1  # nothing else is said beside the progress
    assert "Traceback" not in told.err

    assert result.exit_code == 3
    assert result.tables.counts == {
        "ok": 6, "no_face": 3, "several_faces": 1, "unreadable": 12, "failed": 0,
    }  # fmt: skip
    for name in ("dists.csv", "features.csv"):
        others = pd.read_csv(out / name).set_index("image_id")
        assert list(others.index) == list(table.index)
        assert (others["status"] == table["status"]).all()
        values = others.drop(columns="status")
        assert values.loc[GOOD].notna().all(axis=None)
        assert values.drop(GOOD).isna().all(axis=None)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["counts"] == result.tables.counts
    assert "closed" in record["notes"]["problems"][0]


@pytest.fixture(scope="module")
def strict_finder() -> LandmarkFinder:
    return LandmarkFinder(find_predictor(), faces="error")


@needs_posix
@pytest.mark.parametrize(("kind", "name", "status", "words"), BAD, ids=BAD_IDS)
def test_each_alone(
    strict_finder: LandmarkFinder,
    tmp_path: Path,
    portrait: np.ndarray,
    kind: str,
    name: str,
    status: str,
    words: str,
) -> None:
    make_bad(tmp_path, portrait)
    found = strict_finder.find_file(tmp_path / name)
    assert found.status == status
    assert words in found.reason
    assert found.reason.endswith(".")
    assert "\n" not in found.reason
    assert np.isnan(found.points).all()


def test_one_bad_photograph_alone_is_nothing_that_worked(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    result = measure(tmp_path / "empty.jpg", tmp_path / "out")
    assert result.exit_code == 4
    assert list(pd.read_csv(tmp_path / "out" / "features.csv")["status"]) == ["unreadable"]


def test_a_single_photograph(tmp_path: Path, portrait_path: Path) -> None:
    result = measure(portrait_path, tmp_path / "out", overlays=True)
    assert result.exit_code == 0
    assert list(result.extraction.table["image_id"]) == ["astronaut.png"]
    assert (tmp_path / "out" / "overlays" / "astronaut.png.jpg").is_file()


def test_the_record_names_the_model_the_settings_and_the_versions(
    tmp_path: Path, portrait_path: Path
) -> None:
    source = tmp_path / "manifest.csv"
    source.write_text(
        f"image_id,path,patient_id,hb_grade,hospital\n07,{portrait_path},007,3,0042\n"
    )
    result = measure(source, tmp_path / "out", definition="huo2022")
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["command"] == "extract"
    assert record["files"]["predictor"]["sha256"] == find_predictor().sha256
    assert record["files"]["manifest"] == {"name": "manifest.csv", "sha256": sha256_of(source)}
    assert record["settings"]["definition"] == record["notes"]["definition"] == "huo2022"
    assert record["settings"]["faces"] == "largest"
    assert record["counts"]["ok"] == 1
    assert {"python", "numpy", "opencv-python-headless"} <= set(record["versions"])
    assert str(tmp_path) not in (tmp_path / "out" / "run.json").read_text(encoding="utf-8")
    features = pd.read_csv(tmp_path / "out" / "features.csv", dtype=str).iloc[0]
    assert (features["image_id"], features["patient_id"]) == ("07", "007")
    assert (features["hb_grade"], features["hospital"]) == ("3", "0042")
    assert result.exit_code == 0


def test_a_manifest_row_whose_file_is_missing_has_a_row_and_a_reason(
    tmp_path: Path, portrait_path: Path
) -> None:
    shutil.copy(portrait_path, tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("image_id,path,patient_id\na,a.png,1\nb,missing.png,2\n")
    result = measure(tmp_path / "m.csv", tmp_path / "out")
    assert result.exit_code == 3
    row = result.extraction.table.set_index("image_id").loc["b"]
    assert row["status"] == "unreadable"
    assert "missing.png cannot be opened" in row["reason"]


def refusal(source: Path) -> str:
    with pytest.raises(UserError) as caught:
        find_source(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image_id,path\na,a.jpg\n", 'no column "patient_id"'),
        ("image_id,path,patient_id\na,a.jpg,1\na,b.jpg,1\n", "different in every row"),
        ("image_id,path,patient_id\n", "holds no rows"),
        ("image_id;path;patient_id\na;a.jpg;1\n", "separated by semicolons"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "m.csv").write_text(content)
    sentence = refusal(tmp_path / "m.csv")
    assert words in sentence
    assert "m.csv" in sentence


def test_sources_that_are_none(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "holds no photograph" in refusal(tmp_path / "empty")
    for name, words in (("clip.mp4", "is a film"), ("paper.pdf", "neither a photograph")):
        (tmp_path / name).touch()
        assert words in refusal(tmp_path / name)
    assert "cannot be opened (File name too long)" in refusal(tmp_path / ("n" * 300))


def test_a_source_folder_without_permission_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str | Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert "cannot be searched (Permission denied)" in refusal(tmp_path)


def test_the_record_of_an_earlier_run_does_not_outlive_its_tables(
    tmp_path: Path, portrait_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(portrait_path, tmp_path)
    assert (tmp_path / "run.json").exists()

    def disk_full(*_args: object, **_options: object) -> None:
        raise UserError("Cannot write features.csv (No space left on device): free some space.")

    monkeypatch.setattr(extract_module, "write_feature_tables", disk_full)
    with pytest.raises(UserError, match="No space left"):
        measure(portrait_path, tmp_path, definition="huo2022")
    assert not (tmp_path / "run.json").exists()
    assert (tmp_path / "landmarks.csv").exists()


class FirstTurnError(Exception):
    """Raised where the first photograph would be given to a worker."""


def files_touched_first(folder: Path, monkeypatch: pytest.MonkeyPatch, *, rows: int) -> list[int]:
    """How many files a run looks at or opens before its first photograph: anew, and resumed."""
    folder.mkdir()
    lines = [f"p{row},p{row}.jpg,{row}\n" for row in range(rows)]
    (folder / "m.csv").write_text("image_id,path,patient_id\n" + "".join(lines))
    counts: list[int] = []

    def all_but_the_last(_do: object, tasks: list, **_options: object) -> Iterator[Outcome]:
        result = FaceLandmarks(
            status="ok", points=schematic_face(), box=FaceBox(0, 0, 9, 9, 1.0, "cnn")
        )
        yield from (Outcome(index, value=result) for index in range(len(tasks) - 1))
        yield Outcome(len(tasks) - 1, error="a planted failure")

    def first_turn(*_args: object, **_options: object) -> Iterator[Outcome]:
        counts.append(len(touched))
        raise FirstTurnError

    def run(supervised_map: object) -> ExtractResult:
        touched.clear()
        monkeypatch.setattr(extraction_module, "supervised_map", supervised_map)
        return measure(folder / "m.csv", folder / "out", overlays=True)

    touched: list[object] = []
    with monkeypatch.context() as patched:
        for module, name in ((os, "stat"), (os, "lstat"), (io, "open"), (builtins, "open")):
            original = getattr(module, name)

            def noted(path: object, *args: Any, _was: Any = original, **options: Any) -> Any:
                touched.extend([path] if str(folder) in str(path) else [])
                return _was(path, *args, **options)

            patched.setattr(module, name, noted)
        with pytest.raises(FirstTurnError):
            run(first_turn)
        assert run(all_but_the_last).tables.counts["failed"] == 1
        with pytest.raises(FirstTurnError):
            run(first_turn)
    return counts


def test_a_start_touches_no_more_files_for_more_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = files_touched_first(tmp_path / "few", monkeypatch, rows=3)
    many = files_touched_first(tmp_path / "many", monkeypatch, rows=300)
    assert few == many
    assert len(few) == 2 and min(few) > 0
