"""Films: upright, with their own times, the same frame however it is reached; faults are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import FilmError
from common.films import list_films, list_frames, open_film
from tests.film_files import number_of, numbered_frames, time_frames, turn_film, write_film


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.avi", "a.webm"])
def test_every_kind_gives_its_frames_in_order_with_times(tmp_path: Path, name: str) -> None:
    film = open_film(write_film(tmp_path / name, numbered_frames(12), fps=25.0))
    frames = list(film.frames())
    assert [number_of(frame.rgb) for frame in frames] == list(range(12))
    assert [frame.number for frame in frames] == list(range(12)) == list(range(len(film)))
    # A WebM holds whole milliseconds.
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) / 25.0, atol=6e-4)
    assert (film.width, film.height) == (64, 48)
    assert frames[0].rgb.dtype == np.uint8 and not film.remark
    red = frames[0].rgb[4, 4]
    assert red[0] > 150 > red[2], "pixels are RGB"


def test_uneven_times_are_the_containers(tmp_path: Path) -> None:
    path = write_film(tmp_path / "uneven.mp4", numbered_frames(60), fps=30.0)
    film = open_film(time_frames(path, [(20, 1.0), (20, 2.5), (20, 1.0)]))
    steps = np.repeat([1.0, 2.5, 1.0], 20)[:-1] / 30.0
    np.testing.assert_allclose(np.diff(film.times_s), steps, atol=2e-6)


def test_a_frame_is_the_same_however_it_is_reached(tmp_path: Path) -> None:
    even = write_film(tmp_path / "even.mp4", numbered_frames(90))
    uneven = write_film(tmp_path / "uneven.mp4", numbered_frames(90))
    time_frames(uneven, [(20, 1.0), (50, 4.0), (20, 1.0)])
    for film in (open_film(even), open_film(uneven)):
        whole = list(film.frames())
        for first in (1, 17, 40, 75, 89):
            entered = next(film.frames(first))
            assert entered.time_s == whole[first].time_s
            np.testing.assert_array_equal(entered.rgb, whole[first].rgb)
        assert [frame.number for frame in film.frames(30, 33)] == [30, 31, 32]
        with pytest.raises(IndexError, match="no frame 90"):
            film.frame(90)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (4, -5)), (180, (-5, -5)), (270, (-5, 4))])
def test_a_film_of_a_turned_telephone_is_upright(
    tmp_path: Path, degrees: int, corner: tuple[int, int]
) -> None:
    film = open_film(turn_film(write_film(tmp_path / "t.mp4", numbered_frames(3)), degrees))
    rgb = film.frame(1).rgb
    assert rgb.shape[:2] == ((48, 64) if degrees == 180 else (64, 48))
    assert rgb.shape[:2] == (film.height, film.width)
    red = rgb[corner]
    assert red[0] > 150 > red[2], "the mark at the stored top left has turned clockwise"


def test_a_mirrored_film_comes_out_mirrored_back(tmp_path: Path) -> None:
    path = write_film(tmp_path / "selfie.mp4", numbered_frames(3))
    plain, mirrored = open_film(path).frame(1), open_film(path, mirrored=True).frame(1)
    np.testing.assert_array_equal(mirrored.rgb, plain.rgb[:, ::-1])


def test_faults_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.mp4").write_text("no film")
    whole = write_film(tmp_path / "whole.mp4", numbered_frames(30)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write_film(tmp_path / "none.avi", numbered_frames(1))
    content = (tmp_path / "none.avi").read_bytes()
    (tmp_path / "none.avi").write_bytes(content[: content.index(b"movi") + 4])
    for name, words in (
        ("absent.mp4", "cannot be opened"),
        ("empty.mp4", "is empty"),
        ("notes.mp4", "is no film"),
        ("cut.mp4", "cut short"),
        ("none.avi", "cut short"),
    ):
        with pytest.raises(FilmError, match=f"{name}.*{words}"):
            open_film(tmp_path / name)


def test_what_is_left_of_a_film_cut_short_is_taken_and_said(tmp_path: Path) -> None:
    path = write_film(tmp_path / "cut.avi", numbered_frames(40))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.5)])
    film = open_film(path)
    assert 10 < len(film) < 30
    assert f"announces 40 frames and holds {len(film)}" in film.remark
    assert [number_of(frame.rgb) for frame in film.frames(12)] == list(range(12, len(film)))


def test_a_wrong_suffix_and_a_single_frame_do_no_harm(tmp_path: Path) -> None:
    written = write_film(tmp_path / "one.avi", numbered_frames(1))
    film = open_film(written.rename(tmp_path / "one.mov"))
    assert len(film) == 1 and film.times_s.tolist() == [0.0]


def test_films_and_frames_are_listed_as_people_count(tmp_path: Path) -> None:
    for name in ("b/10.MP4", "b/9.mov", "a.webm", ".hidden.mp4", "x.jpg", "b/f_2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [name for name, _ in list_films(tmp_path)] == ["a.webm", "b/9.mov", "b/10.MP4"]
    assert list_frames(tmp_path / "b").names == {2: "f_2.png"}
