"""Points corrected by hand: the journal, what it does to a table, and the local server."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.tables import write_table
from datasets.simulated.shape import AVERAGE_POINTS
from features.commands.features import features
from features.commands.review import _measured
from features.tables import read_features
from landmarks.find.iris import Iris, Irises
from landmarks.points import N_POINTS, POINT_COLUMNS
from landmarks.predictor import find_predictor
from landmarks.review.corrections import (
    CORRECTIONS_FILE,
    Journal,
    Move,
    corrected,
    corrected_irises,
    read_corrections,
)
from landmarks.review.marks import BY_HAND, irises_of
from landmarks.review.server import serve
from landmarks.review.session import ChangeRefusedError, Session
from landmarks.scale import mm_per_px_of
from landmarks.tables import (
    IRISES,
    IRISES_FILE,
    LANDMARKS,
    SPREAD_COLUMNS,
    iris_table,
    points_of,
    read_irises,
    read_landmarks,
)

POINTS = AVERAGE_POINTS * 1.6 + (150.0, 150.0)  # a face in a picture of 300 by 340 px
NAMES = ("a/1.jpg", "a/2.jpg", "b/1.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs; in the last no face was found."""
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((340, 300, 3), 128, dtype=np.uint8))
    points = np.stack([POINTS, POINTS, np.full_like(POINTS, np.nan)])
    table = pd.DataFrame(points.reshape(3, -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", list(NAMES))
    table.insert(1, "status", ["ok", "ok", "no_face"])
    table.insert(2, "reason", pd.Series([None, None, "No face was found."], dtype="str"))
    write_table(table, tmp_path / "landmarks.csv", schema=LANDMARKS)
    return tmp_path


def session_of(folder: Path, **options: object) -> Session:
    return Session(
        read_landmarks(folder / "landmarks.csv"),
        table_path=folder / "landmarks.csv",
        paths={name: folder / "photos" / name for name in NAMES},
        journal=Journal(folder / CORRECTIONS_FILE, rater="anna"),
        **options,  # type: ignore[arg-type]
    )


def test_a_move_is_in_the_table_and_the_models_points_stay(folder: Path) -> None:
    session = session_of(folder)
    session.move(0, {48: (100.25, 200.5)}, page="one")
    machine = read_landmarks(folder / "landmarks.csv")
    found = corrected(machine, read_corrections(folder / CORRECTIONS_FILE))
    assert points_of(found)[0, 48].tolist() == [100.25, 200.5]
    others = [k for k in range(N_POINTS) if k != 48]
    assert np.array_equal(points_of(found)[0, others], POINTS[others])
    assert np.array_equal(points_of(machine)[0], POINTS)
    assert found["points_from"].tolist()[:2] == ["corrected", "model"]
    assert found["points_from"].isna().tolist() == [False, False, True]
    row = read_corrections(folder / CORRECTIONS_FILE).iloc[0]
    assert (row["from_x"], row["from_y"]) == tuple(POINTS[48])
    assert (row["rater"], row["action"]) == ("anna", "move")


def test_undo_and_redo_go_on_after_the_program_was_killed(folder: Path) -> None:
    first = session_of(folder)
    first.move(0, {48: (100.0, 200.0)}, page="one")
    first.move(0, {48: (101.0, 201.0), 54: (190.0, 201.0)}, page="one")
    first.step(0, "undo", page="one")
    again = session_of(folder)  # nothing was closed
    assert again.faces[0].points[48].tolist() == [100.0, 200.0]
    assert again.faces[0].points[54].tolist() == POINTS[54].tolist()
    again.step(0, "redo", page="two")
    assert again.faces[0].points[54].tolist() == [190.0, 201.0]
    for _ in range(5):  # beyond the first there is nothing to take back
        again.step(0, "undo", page="two")
    assert np.array_equal(again.faces[0].points, POINTS)
    assert not session_of(folder).faces[0].is_corrected
    table = corrected(
        read_landmarks(folder / "landmarks.csv"), read_corrections(folder / CORRECTIONS_FILE)
    )
    assert table["points_from"].tolist()[0] == "model"


def test_a_row_half_written_is_cut_off_and_the_others_stay(folder: Path) -> None:
    session = session_of(folder)
    session.move(0, {48: (100.0, 200.0)}, page="one")
    whole = (folder / CORRECTIONS_FILE).read_bytes()
    (folder / CORRECTIONS_FILE).write_bytes(whole + b"a/1.jpg,move,54,1.0,2")
    assert session_of(folder).faces[0].points[48].tolist() == [100.0, 200.0]
    assert (folder / CORRECTIONS_FILE).read_bytes() == whole


def test_a_verdict_takes_the_points_away_and_gives_them_back(folder: Path) -> None:
    session = session_of(folder)
    session.judge(1, "unmeasurable", reason="blurred", page="one")
    machine = read_landmarks(folder / "landmarks.csv")
    found = corrected(machine, session.journal.rows)
    assert (found["status"][1], found["reason"][1]) == ("failed", "cannot be measured: blurred")
    assert np.isnan(points_of(found)[1]).all()
    session.judge(1, "measurable", page="one")
    assert corrected(machine, session.journal.rows)["status"].tolist()[1] == "ok"


def test_points_given_by_hand_make_a_face_where_none_was_found(folder: Path) -> None:
    session = session_of(folder)
    with pytest.raises(ChangeRefusedError, match="draw a box"):
        session.move(2, {48: (100.0, 200.0)}, page="one")
    session.move(2, dict(enumerate(map(tuple, POINTS.tolist()))), page="one")
    found = corrected(read_landmarks(folder / "landmarks.csv"), session.journal.rows)
    assert (found["status"][2], found["points_from"][2]) == ("ok", "corrected")
    assert pd.isna(found["reason"][2])
    session.step(2, "undo", page="one")
    again = session_of(folder)
    assert np.isnan(again.faces[2].points).all()


def test_a_box_drawn_by_hand_is_predicted_again_with_its_irises(
    folder: Path, portrait: NDArray[np.uint8]
) -> None:
    large = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(str(folder / "photos" / NAMES[2]), large[..., ::-1])
    session = session_of(folder, predictor=find_predictor(), irises=with_irises(folder))
    with pytest.raises(ChangeRefusedError, match="too small"):
        session.predict(2, (340.0, 120.0, 370.0, 150.0), page="one")
    face = session.predict(2, (560.0, 340.0, 340.0, 120.0), page="one")  # corners in any order
    irises = irises_of(face.marks, Irises())
    for iris, eye in ((irises.right, range(36, 42)), (irises.left, range(42, 48))):
        points = face.points[list(eye)]
        assert (points.min(axis=0) < iris.centre).all()
        assert (iris.centre < points.max(axis=0)).all()
        assert 0.15 < iris.radius / np.ptp(points[:, 0]) < 0.3
    assert face.is_corrected
    refused = [{70: tuple(face.marks[68])}, {68: (np.nan, 1.0)}]
    for targets in refused:
        with pytest.raises(ChangeRefusedError):
            session.move(2, targets, page="one")


def test_the_photographs_without_points_and_with_the_widest_spread_come_first(folder: Path) -> None:
    values = np.full((3, N_POINTS * 2), 0.5)
    values[1] = 2.0
    values[2] = np.nan
    spreads = pd.DataFrame(values, columns=list(SPREAD_COLUMNS)).assign(image_id=list(NAMES))
    session = session_of(folder, spreads=spreads, patients={NAMES[0]: "z", NAMES[1]: "a"})
    assert session.order("worst") == [2, 1, 0]
    assert session.order("patient") == [2, 1, 0]


def test_one_page_corrects_and_the_other_watches_until_it_is_left(folder: Path) -> None:
    session = session_of(folder)
    assert session.hold("one")
    assert not session.hold("two")
    with pytest.raises(ChangeRefusedError, match="Another page"):
        session.move(0, {48: (100.0, 200.0)}, page="two")
    session.release("one")
    session.move(0, {48: (100.0, 200.0)}, page="two")


def test_nothing_is_written_once_the_table_was_changed_by_another(folder: Path) -> None:
    session = session_of(folder)
    table = read_landmarks(folder / "landmarks.csv")
    write_table(table.iloc[:2], folder / "landmarks.csv", schema=LANDMARKS)
    with pytest.raises(ChangeRefusedError, match="changed by another program"):
        session.move(0, {48: (100.0, 200.0)}, page="one")
    assert not (folder / CORRECTIONS_FILE).exists()


def test_features_takes_the_corrections_and_refuses_to_replace_the_models_points(
    folder: Path,
) -> None:
    session = session_of(folder)
    features(folder / "landmarks.csv", out=folder / "before")
    session.move(0, {48: (POINTS[48, 0], POINTS[48, 1] + 12.0)}, page="one")
    features(folder / "landmarks.csv", out=folder / "after")
    before, after = (read_features(folder / name / "features.csv") for name in ("before", "after"))
    assert after["f14"][0] > before["f14"][0] + 3.0  # the line of the mouth corners leans
    assert after["f14"][1] == before["f14"][1]
    assert read_landmarks(folder / "after" / "landmarks.csv")["points_from"][0] == "corrected"
    with pytest.raises(UserError, match="keeps those of the model"):
        features(folder / "landmarks.csv", out=folder)


def with_irises(folder: Path, *, radius: float = 6.0) -> dict[str, Irises]:
    """Give the photographs of a folder irises and the scale that follows."""
    found = {
        name: Irises(
            right=Iris(
                "ok", x=POINTS[36:42, 0].mean(), y=POINTS[37, 1], radius=radius, strength=0.5
            ),
            left=Iris(
                "ok", x=POINTS[42:48, 0].mean(), y=POINTS[43, 1], radius=radius, strength=0.5
            ),
        )
        for name in NAMES[:2]
    } | {NAMES[2]: Irises()}
    write_table(iris_table(found), folder / IRISES_FILE, schema=IRISES)
    table = read_landmarks(folder / "landmarks.csv").copy()
    table["mm_per_px"] = [mm_per_px_of(found[name]) for name in NAMES]
    write_table(table, folder / "landmarks.csv", schema=LANDMARKS)
    return found


def test_a_moved_iris_sets_the_scale_and_the_axes_and_no_point(folder: Path) -> None:
    irises = with_irises(folder)
    features(folder / "landmarks.csv", out=folder / "before", unit="mm")
    journal = Journal(folder / CORRECTIONS_FILE)
    iris = irises[NAMES[0]].right
    ends = ((iris.x + 6.0, iris.y), (iris.x + 9.0, iris.y))  # half as large again
    journal.add(NAMES[0], "move", [Move(70, *ends)])
    features(folder / "landmarks.csv", out=folder / "after", unit="mm")
    before, after = (
        read_landmarks(folder / name / "landmarks.csv") for name in ("before", "after")
    )
    assert after["mm_per_px"][0] == pytest.approx(before["mm_per_px"][0] * 6.0 / 7.5)  # of the mean
    assert after["mm_per_px"][1] == before["mm_per_px"][1]
    assert np.array_equal(points_of(after), points_of(before), equal_nan=True)
    assert after["points_from"][0] == "model"
    kept = read_irises(folder / "after" / IRISES_FILE)
    assert (kept[NAMES[0]].right.radius, kept[NAMES[0]].right.reason) == (9.0, BY_HAND)
    assert kept[NAMES[0]].left == irises[NAMES[0]].left
    lengths = [pd.read_csv(folder / name / "dists.csv")["A"][0] for name in ("before", "after")]
    assert lengths[1] == pytest.approx(lengths[0] * 6.0 / 7.5)

    nowhere = (np.nan, np.nan)
    journal.add(NAMES[0], "move", [Move(k, (1.0, 1.0), nowhere) for k in (68, 69, 70, 71)])
    table, found = corrected_irises(
        read_landmarks(folder / "landmarks.csv"), irises, read_corrections(journal.path)
    )
    assert np.isnan(table["mm_per_px"][0])
    assert "Taken away" in found[NAMES[0]].right.reason


# ---- the server, as a browser and as an attacker meets it

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """A running server, asked over the network of this machine."""
    lines: list[str] = []
    session = session_of(folder)
    ready = threading.Event()

    def announce(line: str) -> None:
        lines.append(line)
        ready.set()

    thread = threading.Thread(
        target=serve,
        args=(session,),
        kwargs={
            "measure": lambda marks: _measured(marks, definition="standard"),
            "browser": False,
            "idle_s": 1.0,
            "announce": announce,
        },
    )
    monkeypatch.setattr("uvicorn.Server.install_signal_handlers", lambda self: None, raising=False)
    thread.start()
    assert ready.wait(10)
    found = re.search(r"http://127\.0\.0\.1:(\d+)/(\S+)/", lines[0])
    assert found is not None
    port, token = int(found[1]), found[2]

    def asked(
        path: str,
        body: object = None,
        *,
        token: str = token,
        host: str = f"127.0.0.1:{port}",
        origin: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("POST" if content else "GET", f"/{token}/{path}", content, headers)
        answer = connection.getresponse()
        given = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return given

    yield asked
    thread.join(10)
    assert not thread.is_alive()  # it ends by itself when no page speaks to it


def test_the_server_shows_the_page_and_keeps_a_change(ask: Ask, folder: Path) -> None:
    status, headers, page = ask("")
    assert status == 200
    assert b"review.js" in page
    assert "default-src 'none'" in headers["content-security-policy"]
    cohort = json.loads(ask("cohort")[2])
    assert [face["name"] for face in cohort["faces"]] == list(NAMES)
    assert cohort["order"][0] == 2
    place = json.loads(ask("photo/0.jpg")[1]["x-place"])
    assert place == [-0.5, -0.5, 300.0, 340.0]  # edges of the pixels, centres at integers
    answer = ask("change/0", {"page": "p", "action": "move", "marks": {"48": [100.0, 200.0]}})
    assert json.loads(answer[2])["marks"][48] == [100.0, 200.0]
    assert len(read_corrections(folder / CORRECTIONS_FILE)) == 1


def test_nothing_else_is_served(ask: Ask, folder: Path) -> None:
    wrong = [
        ask("", token="x" * 32),
        ask("cohort", token=""),
        ask("cohort", host="evil.example"),
        ask("cohort", origin="http://evil.example"),
        ask("change/0", {"page": "p", "action": "undo"}, origin="null"),
        ask("../../etc/passwd"),
        ask("%2e%2e/%2e%2e/etc/passwd"),
        ask("/etc/passwd"),
        ask("photo/99.jpg"),
        ask("photo/-1.jpg"),
        ask("landmarks.csv"),
    ]
    assert all(status in (400, 403, 404) for status, _, _ in wrong)
    assert all(b"root:" not in content for _, _, content in wrong)
    assert not (folder / CORRECTIONS_FILE).exists()


def test_what_is_no_change_gets_one_sentence_and_writes_nothing(ask: Ask, folder: Path) -> None:
    moves = [{"68": [1, 2]}, {"48": ["NaN", 2]}, {"48": [1e9, 2]}, {"48": [1, 2, 3]}]
    bodies: list[object] = [
        b"no json",
        b"[]",
        b"{" + b" " * 200_000 + b"}",
        {"page": "p"},
        {"page": "p", "action": "delete"},
        *({"page": "p", "action": "move", "marks": points} for points in moves),
        {"page": "p", "action": "box", "box": [0, 0, 300, 300]},  # without a model
    ]
    for body in bodies:
        status, _, content = ask("change/0", body)
        assert status in (400, 409), body
        assert json.loads(content)["error"].endswith("."), body
    assert not (folder / CORRECTIONS_FILE).exists()


def test_journal_rows_of_one_change_share_their_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / CORRECTIONS_FILE)
    journal.add("a", "move", [Move(k, (1.0, 2.0), (3.0, 4.0)) for k in range(3)])
    journal.add("a", "move", [Move(0, (3.0, 4.0), (5.0, 6.0))])
    assert journal.rows["at"].nunique() == 2
    read, kept = read_corrections(journal.path), journal.rows
    assert read.fillna("").astype(str).equals(kept.fillna("").astype(str))
