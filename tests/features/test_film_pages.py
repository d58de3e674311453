"""Pages and films with points: what is shown is what was measured, with and without the film."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.films import film_writer, open_film
from common.photos import read_photo
from common.tables import write_table
from datasets.simulated.face import draw_patient
from datasets.simulated.film import plan_film
from features.commands.movement import movement
from features.movement.film import MeasuredFilm, measure_film
from features.movement.page import MOMENTS, OBSERVERS_MM, film_page
from features.movement.page_compare import ComparedFilm, changes, compare_page
from features.movement.pictures import write_overlay_film
from features.movement.tables import SIGNALS
from landmarks.find.films import FilmTask
from landmarks.points import POINT_COLUMNS
from landmarks.tables import LANDMARKS
from tests.browser import WIDTHS, open_page, static_problems

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("figures_not_rendered")
FPS, WIDTH, HEIGHT = 15, 240, 240


def filmed(grade: int, *, seconds: float = 13.0) -> pd.DataFrame:
    """The points of a simulated film of seconds, laid on small frames without a picture."""
    patient = draw_patient(
        seed=5,
        grade=grade,
        side="left" if grade > 1 else "none",
        kind="flaccid" if grade > 1 else "none",
    )
    film = plan_film(
        patient, seconds=seconds, fps=FPS, tasks=("brow_raise", "gentle_eye_closure", "full_smile")
    )
    points = np.array([film.face(time).points for time in film.times])
    points += np.array([WIDTH / 2, 100])
    table = pd.DataFrame(points.reshape(-1, 136), columns=list(POINT_COLUMNS))
    head = {"film": "a.mp4", "frame": range(len(film.times)), "time_s": film.times, "status": "ok"}
    return pd.concat([pd.DataFrame(head), table], axis=1).assign(reason=None, mm_per_px=1.0)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return filmed(5)


@pytest.fixture(scope="module")
def measured(rows: pd.DataFrame) -> MeasuredFilm:
    return measure_film("a.mp4", rows, patient="P7")


@pytest.fixture(scope="module")
def film(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    with film_writer(path, width=WIDTH, height=HEIGHT, fps=FPS) as write:
        for _ in range(len(rows)):
            write(np.full((HEIGHT, WIDTH, 3), 60, np.uint8))
    return path


@pytest.fixture(scope="module")
def page(
    rows: pd.DataFrame, measured: MeasuredFilm, film: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("page") / "a.html"
    film_page("a.mp4", measured, rows, film=FilmTask("a.mp4", film)).write(path)
    return path


def test_page_says_what_the_tables_say(page: Path, measured: MeasuredFilm) -> None:
    text = page.read_text(encoding="utf-8")
    assert static_problems(page) == [] and "Patient P7. 13 s of film, 195 of 195 frames" in text
    moves = measured.movements.set_index("movement")
    smile = moves.loc["full_smile"]
    assert f"{100 * smile['amplitude_ratio']:.0f} %" in text and "weaker: left" in text
    assert f'<td class="number">{smile["amplitude_right"]:.1f}</td>' in text
    assert "9.28 ± 2.83 mm" in text and "healthy 91 ± 5" in text and "OSCAR" in text
    apart = abs(smile["amplitude_right"] - smile["amplitude_left"])
    assert apart > 3 and f"{apart:.1f} mm<small>observers notice 3 mm</small>" in text
    assert text.count('<span tabindex="-1">') == MOMENTS and len(text) < 1_500_000
    assert "No lip pucker was found in this film." in text
    assert 'class="warnings"' not in text


def test_difference_too_small_for_observers_is_called_so() -> None:
    rows = filmed(1)
    text = film_page("a.mp4", measure_film("a.mp4", rows, patient=None), rows).html()
    assert "below the 3.5 mm seen" in text and "<small>observers notice" not in text
    assert "points are shown without picture" in text
    assert set(OBSERVERS_MM) <= set(SIGNALS)


def test_film_that_cannot_be_read_leaves_the_points_and_is_named(
    rows: pd.DataFrame, measured: MeasuredFilm, tmp_path: Path
) -> None:
    broken = tmp_path / "a.mp4"
    broken.write_bytes(b"no film")
    text = film_page("a.mp4", measured, rows, film=FilmTask("a.mp4", broken)).html()
    assert "a.mp4 is no film" in text and "Points are shown without picture." in text


def test_film_without_a_face_has_a_page(rows: pd.DataFrame) -> None:
    empty = rows.head(20).copy()
    empty[list(POINT_COLUMNS)] = np.nan
    empty["status"], empty["reason"] = "no_face", "No face was found."
    text = film_page("a.mp4", measure_film("a.mp4", empty, patient=None), empty).html()
    assert "20 of 20 frames could not be measured; most often: No face was found." in text
    assert "No movement was found in this film." in text and "No blink was found" in text


def test_pointer_shows_the_frame_and_print_hides_it(browser: Browser, page: Path) -> None:
    for width in WIDTHS:
        assert open_page(browser, page, width=width).problems() == []
    tab = browser.new_page(viewport={"width": 1280, "height": 1000})
    tab.goto(page.as_uri())
    moment = tab.locator(".moments > span").nth(50)
    assert not moment.locator("img").is_visible()
    moment.hover()
    assert moment.locator("img").is_visible()
    tab.emulate_media(media="print")
    assert not moment.locator("img").is_visible()
    tab.close()


def test_overlay_has_every_frame_and_points_where_there_are_any(
    rows: pd.DataFrame, film: Path, tmp_path: Path
) -> None:
    short = rows.copy()
    short.loc[5, list(POINT_COLUMNS)] = np.nan
    short.loc[5, "status"] = "no_face"
    write_overlay_film(tmp_path / "b.mp4", open_film(film), short)
    drawn = open_film(tmp_path / "b.mp4")
    assert len(drawn) == len(rows) and drawn.times_s[-1] == pytest.approx(12.93, abs=0.05)
    below = slice(60, None)  # of the label
    with_points, without = (drawn.frame(n).rgb[below].astype(int) for n in (4, 5))
    assert (np.abs(with_points - 60) > 60).sum() > 500
    assert (np.abs(without - 60) > 60).sum() == 0
    x, y = np.round(rows.loc[4, ["x_36", "y_36"]].to_numpy(float)).astype(int)
    red, _, blue = drawn.frame(4).rgb[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1))
    assert red > blue  # the patient's right is orange


def test_changes_are_after_minus_before(measured: MeasuredFilm) -> None:
    better = measure_film("b.mp4", filmed(2), patient="P7")
    there, back = changes(measured, better), changes(better, measured)
    assert np.allclose(there["Change"], -back["Change"], equal_nan=True)
    smile = there[(there["Movement"] == "full smile") & (there["Measure"] == "Amplitude, left")]
    assert smile["Change"].item() > 3
    assert (changes(measured, measured)["Change"].dropna() == 0).all()


def test_compared_films_stand_side_by_side(
    rows: pd.DataFrame, measured: MeasuredFilm, tmp_path: Path
) -> None:
    one = ComparedFilm("a.mp4", measured, rows)
    page = compare_page(one, one)
    page.write(tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert static_problems(tmp_path / "c.html") == []
    assert text.count("full smile: both sides, before and after.") == 1
    assert "Full smile, before" in text and "Full smile, after" in text
    assert "lip pucker: both sides" not in text
    other = measure_film("b.mp4", rows, patient="P8")
    told = compare_page(one, replace(one, measured=other)).html()
    assert "The films are of two patients: P7 and P8." in told


def test_the_command_draws_what_is_asked_for(
    rows: pd.DataFrame, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = filmed(2).assign(film="b.avi")
    both = pd.concat([rows.head(75), second.head(75)], ignore_index=True)
    both["image_id"] = [f"{name}#{n:06d}" for name, n in zip(both.film, both.frame, strict=True)]
    table = tmp_path / "landmarks.csv"
    write_table(both, table, schema=LANDMARKS)
    shutil.copy(film, tmp_path / "a.mp4")
    (tmp_path / "b.avi").write_bytes(b"no film")
    out = tmp_path / "out"
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image_id,path,patient_id,simulated\na.mp4,a.mp4,7,yes\nb.avi,b.avi,7,\n")
    result = movement(
        table, out=out, manifest=manifest, photographs=tmp_path, pages=True, overlay=True,
        compare=("a.mp4", "b.avi"),
    )  # fmt: skip
    assert result.exit_code == 3 and "unreadable: b.avi" in capsys.readouterr().err
    assert len(open_film(out / "overlays" / "a.mp4")) == len(rows)  # also those without a row
    assert not (out / "overlays" / "b.avi.mp4").exists()
    for page in ("pages/a.mp4.html", "pages/b.avi.html", "comparison.html"):
        assert static_problems(out / page) == []
        told = "The film is simulated" in (out / page).read_text(encoding="utf-8")
        assert told == (page != "pages/b.avi.html")
    with pytest.raises(UserError, match=r'names "c.mp4".*Did you mean'):
        movement(table, out=out, compare=("a.mp4", "c.mp4"))
    with pytest.raises(UserError, match="--overlay needs the films themselves"):
        movement(table, out=out, overlay=True)


@pytest.mark.parametrize("told_by", ["run.json", "manifest"])
def test_pictures_of_a_mirrored_film_are_mirrored_back(
    rows: pd.DataFrame, tmp_path: Path, told_by: str
) -> None:
    frame = np.full((HEIGHT, WIDTH, 3), 220, np.uint8)
    frame[:, : WIDTH // 2] = 20
    (tmp_path / "films").mkdir()
    with film_writer(tmp_path / "films/a.mp4", width=WIDTH, height=HEIGHT, fps=FPS) as write:
        for _ in range(40):
            write(frame)
    short = rows.head(40).assign(image_id=[f"a.mp4#{n:06d}" for n in range(40)])
    write_table(short, tmp_path / "landmarks.csv", schema=LANDMARKS)
    source = tmp_path / "films"
    if told_by == "run.json":
        (tmp_path / "run.json").write_text('{"settings": {"mirrored": true}}')
    else:
        source = tmp_path / "manifest.csv"
        source.write_text("image_id,path,patient_id,mirrored\na.mp4,films/a.mp4,7,yes\n")
    out = tmp_path / "out"
    movement(tmp_path / "landmarks.csv", out=out, photographs=source, overlay=True)
    rest = read_photo(out / "photographs/a.mp4/1_rest.png").pixels
    drawn = open_film(out / "overlays/a.mp4").frame(30).rgb
    for picture in (rest, drawn):
        assert picture[-5:, :20].mean() > 200 > 60 > picture[-5:, -20:].mean()
