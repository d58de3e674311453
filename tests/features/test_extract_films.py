"""`extract` on films: a row for every frame, the same whatever the order of work, resumed, told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import features.commands.extract as extract_module
import landmarks.find.films as films_module
from common.errors import UserError
from common.files import natural_key
from common.provenance import read_run_record
from common.shards import Shard
from common.workers import Outcome
from features.commands.extract import ExtractResult, extract
from landmarks.find.finder import LandmarkFinder
from landmarks.find.source import find_source
from landmarks.points import swap_sides
from landmarks.tables import points_of, read_landmarks
from pipeline.commands.merge import merge
from tests.common.photo_files import save
from tests.film_files import write_film

FRAMES = 30


@pytest.fixture(scope="module")
def face(portrait: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(portrait[0:240, 100:340])


def swaying(face: NDArray[np.uint8], count: int = FRAMES) -> list[NDArray[np.uint8]]:
    """A face that moves to and fro, on 256 x 240."""
    frames = []
    for number in range(count):
        shift = np.array([[1, 0, 8 + 7 * np.sin(number / 4)], [0, 1, 0]])
        frames.append(cv2.warpAffine(face, shift, (256, 240), borderMode=cv2.BORDER_REPLICATE))
    return frames


@pytest.fixture
def run(finder: LandmarkFinder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExtractResult]:
    """`extract` in this process, with small pieces, in an order of one's own."""

    def run(
        source: Path, out: Path, *, backwards: bool = False, stop_after: int = 10**6, **options: Any
    ) -> ExtractResult:
        def in_process(
            function: Callable[..., Any], items: Sequence[Any], *, start: Any, **_: Any
        ) -> Iterator[Outcome]:
            state = None
            if start is not films_module._nothing:
                state = copy(finder)
                state._method = start.keywords["method"]
            order = range(len(items))
            for done, index in enumerate(reversed(order) if backwards else order):
                if state is not None and done == stop_after:
                    raise KeyboardInterrupt
                yield Outcome(index, value=function(state, items[index]))

        monkeypatch.setattr(films_module, "supervised_map", in_process)
        monkeypatch.setattr(films_module, "PIECE", 10)
        monkeypatch.setattr(films_module, "LEAD_IN", 4)
        return extract(source, out=out, jobs=1, **options)

    return run


def test_every_frame_has_a_row_and_a_stopped_run_goes_on_to_the_same_bytes(
    run: Callable[..., ExtractResult], face: NDArray[np.uint8], tmp_path: Path
) -> None:
    film = write_film(tmp_path / "smile.mp4", swaying(face), fps=25.0)
    result = run(film, tmp_path / "whole")
    table = read_landmarks(tmp_path / "whole" / "landmarks.csv")
    assert table["image_id"].tolist() == [f"smile.mp4#{number:06d}" for number in range(FRAMES)]
    assert table["film"].unique().tolist() == ["smile.mp4"]
    assert table["frame"].tolist() == list(range(FRAMES))
    np.testing.assert_allclose(table["time_s"], np.arange(FRAMES) / 25.0, atol=2e-6)
    assert (result.exit_code, set(table["status"])) == (0, {"ok"})
    # Pieces begin with a detection before their first row, so that none shows in the points.
    x = points_of(table)[:, 30, 0] - 7 * np.sin(np.arange(FRAMES) / 4)
    assert np.abs(x - np.median(x)).max() < 4
    record = read_run_record(tmp_path / "whole")
    assert record is not None
    assert (record["counts"]["films"], record["counts"]["frames_ok"]) == (1, FRAMES)
    assert record["settings"]["tta"] == record["settings"]["tta_films"] == 0
    assert not (tmp_path / "whole" / "features.csv").exists()

    other = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run(film, other, backwards=True, stop_after=2)
    kept = {path.name: path.stat().st_mtime_ns for path in (other / "pieces").iterdir()}
    assert len(kept) == 2
    run(film, other, backwards=True)
    after = {path.name: path.stat().st_mtime_ns for path in (other / "pieces").iterdir()}
    assert len(after) == 3 and kept.items() <= after.items(), "two were taken over"
    bytes_of = [(out / "landmarks.csv").read_bytes() for out in (tmp_path / "whole", other)]
    assert bytes_of[0] == bytes_of[1]


def test_a_folder_of_films_and_photographs_and_what_is_wrong_with_them(
    run: Callable[..., ExtractResult],
    face: NDArray[np.uint8],
    finder: LandmarkFinder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import landmarks.find.extraction as extraction_module
    from landmarks.find.finder import do_photo

    monkeypatch.setattr(
        extraction_module,
        "supervised_map",
        lambda _, tasks, **__: (Outcome(i, value=do_photo(finder, t)) for i, t in enumerate(tasks)),
    )
    nobody = np.full((240, 256, 3), 120, np.uint8)
    frames = swaying(face, 12)
    (tmp_path / "in").mkdir()
    write_film(tmp_path / "in" / "b.avi", frames[:4] + [nobody] * 4 + frames[8:])
    (tmp_path / "in" / "c.mp4").write_text("no film")
    write_film(tmp_path / "in" / "d.avi", frames[:1])
    for name in ("a.png", "b2.png", "e.png"):
        save(tmp_path / "in" / name, face)
    result = run(tmp_path / "in", tmp_path / "out", tta=0)
    table = read_landmarks(tmp_path / "out" / "landmarks.csv")
    names = table["image_id"].tolist()
    assert names == sorted(names, key=natural_key) and len(names) == 3 + 12 + 1 + 1
    of_b = table[table["film"] == "b.avi"]
    assert of_b["status"].tolist() == ["ok"] * 4 + ["no_face"] * 4 + ["ok"] * 4
    unread = table.set_index("image_id").loc["c.mp4"]
    assert unread["status"] == "unreadable" and "no film that can be read" in unread["reason"]
    assert table.loc[table["film"].isna(), "image_id"].tolist() == ["a.png", "b2.png", "e.png"]
    measured = pd.read_csv(tmp_path / "out" / "features.csv")
    assert measured["image_id"].tolist() == ["a.png", "b2.png", "e.png"], "photographs alone"
    assert result.exit_code == 3
    said = capsys.readouterr()
    assert "b.avi: of 12 frames 4 no_face." in said.err
    assert "unreadable: c.mp4: c.mp4 is no film" in said.err
    assert "3 films: 9 ok, 4 no_face, 1 unreadable (frames)" in said.out


def test_the_same_person_is_followed_from_piece_to_piece(
    run: Callable[..., ExtractResult], face: NDArray[np.uint8], tmp_path: Path
) -> None:
    small = np.full_like(face, 120)
    small[40:220, 30:210] = cv2.resize(face, (180, 180), interpolation=cv2.INTER_AREA)
    one, other = np.hstack([face, small]), np.hstack([small, face])
    film = write_film(tmp_path / "two.avi", [one] * 6 + [other] * 20)
    run(film, tmp_path / "out")
    table = read_landmarks(tmp_path / "out" / "landmarks.csv")
    assert (points_of(table)[:, :, 0].max(axis=1) < face.shape[1]).all(), "left in every piece"
    assert table["n_faces"].dropna().unique().tolist() == [2]


def test_a_manifest_says_which_film_is_mirrored(
    run: Callable[..., ExtractResult], face: NDArray[np.uint8], tmp_path: Path
) -> None:
    frames = swaying(face, 5)
    write_film(tmp_path / "plain.avi", frames)
    write_film(tmp_path / "selfie.avi", [np.ascontiguousarray(frame[:, ::-1]) for frame in frames])
    rows = "plain.avi,plain.avi,1,\nselfie.avi,selfie.avi,1,yes\n"
    (tmp_path / "m.csv").write_text("image_id,path,patient_id,mirrored\n" + rows)
    run(tmp_path / "m.csv", tmp_path / "out")
    points = points_of(read_landmarks(tmp_path / "out" / "landmarks.csv"))
    np.testing.assert_allclose(points[5:], points[:5], atol=2.0)
    run(tmp_path / "plain.avi", tmp_path / "flipped", mirrored=True)
    flipped = points_of(read_landmarks(tmp_path / "flipped" / "landmarks.csv"))
    back = np.array([swap_sides(one * [-1, 1] + [255, 0]) for one in flipped])
    eyes = [36, 39, 42, 45]
    np.testing.assert_allclose(back[:, eyes], points[:5, eyes], atol=4.0)
    (tmp_path / "m.csv").write_text("image_id,path,patient_id,mirrored\na,plain.avi,1,perhaps\n")
    with pytest.raises(UserError, match='row 2: column "mirrored" is "perhaps"'):
        run(tmp_path / "m.csv", tmp_path / "out")


def test_shards_of_films_are_joined_to_the_same_bytes(
    run: Callable[..., ExtractResult], face: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.avi", "b.avi", "c.avi"):
        write_film(tmp_path / "in" / name, swaying(face, 12))
    run(tmp_path / "in", tmp_path / "whole")
    held = [{n for n in ("a.avi", "b.avi", "c.avi") if Shard(k, 2).holds(n)} for k in (1, 2)]
    assert all(held), "both shards have films"
    for number in (1, 2):
        run(tmp_path / "in", tmp_path / "parts", shard=Shard(number, 2))
    merge((tmp_path / "parts",))
    whole, joined = (tmp_path / name / "landmarks.csv" for name in ("whole", "parts"))
    assert joined.read_bytes() == whole.read_bytes()


def test_copies_of_frames_are_made_when_asked_for(
    run: Callable[..., ExtractResult], face: NDArray[np.uint8], tmp_path: Path
) -> None:
    """With halves, too: each frame and each photograph beside them has its share, found or not."""
    (tmp_path / "in").mkdir()
    film = write_film(tmp_path / "in" / "one.avi", swaying(face, 2))
    save(tmp_path / "in" / "a.png", np.zeros((48, 64, 3), np.uint8))
    run(tmp_path / "in", tmp_path / "out", tta=3, points="halves")
    spreads = pd.read_csv(tmp_path / "out" / "spreads.csv")
    assert spreads["image_id"].tolist() == ["a.png", "one.avi#000000", "one.avi#000001"]
    assert spreads["copies"].tolist() == [0, 3, 3]
    for column in ("halves_share", "spread_x_30"):
        assert spreads[column].notna().tolist() == [False, True, True]
    run(film, tmp_path / "out")
    assert not (tmp_path / "out" / "spreads.csv").exists()


def test_films_are_refused_where_they_cannot_be_used(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.avi", [np.zeros((48, 64, 3), np.uint8)])
    with pytest.raises(UserError, match="is a film: extract and movement"):
        find_source(film)
    with pytest.raises(UserError, match="--scale iris measures photographs"):
        extract_module.extract(film, out=tmp_path / "out", scale="iris")
