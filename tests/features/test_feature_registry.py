"""The registry is complete, says what is computed, and makes the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from numpy.typing import NDArray

from common.errors import UserError
from docs.drawing import COLOURS, draw_measurements
from docs.measurement_tables import (
    definitions_that_differ,
    difference_table,
    distance_table,
    feature_table,
)
from features.definitions import DEFINITIONS, definition_named, measure, measurement, points_used
from features.registry import (
    DISTANCE_NAMES,
    DISTANCES,
    FEATURE_NAMES,
    FEATURES,
    HUO_2022,
    OURS,
    PARRA_2021,
    REGIONS,
)
from landmarks.points import MIRROR_PARTNER, SELECTION_51, side_of

EVERYTHING = (*DISTANCES, *FEATURES)

CONTRACT = "A Bl Br C D E F G H I J K L M Nl Nr Ol Or Pl Pu Ql Qu R S T U Vl Vr W X Wl Wr N O"

# Small moves, and moves so large that the smaller of two sides becomes the larger.
MOVES = ((0.3, 0.2), (-0.3, -0.2), (90.0, 0.0), (-90.0, 0.0), (0.0, 90.0), (0.0, -90.0))


def test_columns_are_those_of_the_contract_in_its_order() -> None:
    assert " ".join(DISTANCE_NAMES) == CONTRACT
    assert list(FEATURE_NAMES) == [f"f{i}" for i in range(29)]
    for definition in DEFINITIONS:
        known = definition_named(definition).measurements
        assert list(known) == [*DISTANCE_NAMES, *FEATURE_NAMES]
        assert all(entry.name == name for name, entry in known.items())


def test_every_entry_is_complete() -> None:
    for definition in DEFINITIONS:
        for name in (*DISTANCE_NAMES, *FEATURE_NAMES):
            entry = measurement(name, definition=definition)
            assert entry.region in REGIONS and entry.unit and entry.source and entry.formula.text
            assert entry.meaning[0].isupper() and not entry.meaning.endswith(".")
            assert points_used(name, definition=definition)
    assert {entry.unit for entry in DISTANCES} == {"px"}
    assert len({entry.meaning for entry in EVERYTHING}) == len(EVERYTHING)


def test_formulas_name_the_points_they_use() -> None:
    for definition in DEFINITIONS:
        for entry in definition_named(definition).measurements.values():
            text = re.sub(r"P(\d+)\.\.P(\d+)", _spelled_out, entry.formula.text)
            named = {int(number) for number in re.findall(r"P(\d+)", text)}
            assert named == set(entry.formula.points), (definition, entry.name)


def _spelled_out(match: re.Match[str]) -> str:
    first, last = map(int, match.groups())
    return " ".join(f"P{point}" for point in range(first, last + 1))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_measurement_depends_on_the_points_it_names_and_no_others(
    faces: NDArray, definition: str
) -> None:
    """Each of the points but the jaw ends, which turn the whole face, is moved alone."""
    face = faces[:1]
    before = measure(face, definition=definition)
    moved_by: dict[str, set[int]] = {name: set() for name in (*DISTANCE_NAMES, *FEATURE_NAMES)}
    for point in range(51):
        if point in (48, 49):
            continue
        for by in MOVES:
            changed = face.copy()
            changed[0, SELECTION_51[point]] += by
            after = measure(changed, definition=definition)
            for names, old, new in (
                (DISTANCE_NAMES, before.distances, after.distances),
                (FEATURE_NAMES, before.features, after.features),
            ):
                for name in names:
                    if old[name][0] != new[name][0]:
                        moved_by[name].add(point)
    for name, points in moved_by.items():
        assert points == set(points_used(name, definition=definition)) - {48, 49}, name


def test_partners_follow_from_which_points_mirror_onto_which() -> None:
    """Derived from the 68-point mirror table alone: the pairing that the registry states."""
    mirror = {p: SELECTION_51.index(MIRROR_PARTNER[point]) for p, point in enumerate(SELECTION_51)}
    for entry in DISTANCES:
        points = points_used(entry.name)
        partner = measurement(str(entry.partner))
        assert partner.partner == entry.name
        assert {mirror[point] for point in points} == set(points_used(partner.name)), entry.name
        assert _kind(partner.formula.text) == _kind(entry.formula.text)
        assert partner.region == entry.region


def _kind(text: str) -> str:
    """`dx`, `dy`, `d`, `sum of d over`, ...: what stands before the points."""
    return re.split(r"[(P]", text)[0]


def test_sides_are_the_patients() -> None:
    opposite = {"right": "left", "left": "right", None: None}
    for entry in DISTANCES:
        eye_line = (10, 19) if entry.name in ("L", "M") else ()
        points = set(points_used(entry.name)) - set(eye_line)
        sides = {side_of(SELECTION_51[point]) for point in points} - {"midline"}
        if entry.name in ("A", "W") or not sides:
            assert entry.side is None and entry.partner == entry.name
        else:
            assert {entry.side} == sides, entry.name
        assert measurement(str(entry.partner)).side == opposite[entry.side]


def test_a_feature_compares_partners() -> None:
    for entry in FEATURES:
        compared = [part for part in entry.formula.distances if part not in ("A", "W")]
        if len(compared) == 2:
            assert measurement(compared[0]).partner == compared[1], entry.name


def test_sources_are_the_first_definition_that_has_the_formula() -> None:
    for entry in EVERYTHING:
        texts = {
            name: measurement(entry.name, definition=name).formula.text for name in DEFINITIONS
        }
        if entry.formula.text == texts["parra2021"]:
            expected = PARRA_2021
        else:
            expected = HUO_2022 if entry.formula.text == texts["huo2022"] else OURS
        assert entry.source == expected, entry.name


def test_differences_said_are_the_differences_computed(faces: NDArray) -> None:
    standard = measure(faces)
    for definition in ("huo2022", "parra2021"):
        old = measure(faces, definition=definition)
        for names, ours, theirs in (
            (DISTANCE_NAMES, standard.distances, old.distances),
            (FEATURE_NAMES, standard.features, old.features),
        ):
            for name in names:
                differs = not (abs(ours[name] - theirs[name]) <= 1e-9).all()
                # N, O: only a mean below a ten-thousandth of a pixel; f19..f21: larger of two
                if name in ("N", "O"):
                    assert not differs and definitions_that_differ(name) == ("parra2021",)
                else:
                    assert differs == (definition in definitions_that_differ(name)), name


def test_unknown_names_are_one_sentence_with_the_choices() -> None:
    with pytest.raises(UserError, match=r'no definition "standart".*Did you mean "standard"\?'):
        definition_named("standart")
    with pytest.raises(UserError, match=r'no measurement "f29": choose a distance \(A, Bl'):
        measurement("f29")


@pytest.mark.parametrize(
    ("table", "names"),
    [(distance_table(), DISTANCE_NAMES), (feature_table(), FEATURE_NAMES)],
    ids=["distances", "features"],
)
def test_the_reference_page_has_one_row_for_each_measurement(
    table: str, names: tuple[str, ...]
) -> None:
    header, rule, *rows = table.splitlines()
    assert [row.split("`")[1] for row in rows] == list(names)
    assert all(row.count("|") == header.count("|") for row in (rule, *rows))
    for name, row in zip(names, rows, strict=True):
        assert f"`{measurement(name).formula.text}`" in row


def test_the_difference_table_lists_what_differs_and_by_way_of_what() -> None:
    rows = {row.split("`")[1]: row for row in difference_table().splitlines()[2:]}
    everything = (*DISTANCE_NAMES, *FEATURE_NAMES)
    assert list(rows) == [name for name in everything if definitions_that_differ(name)]
    assert "as `standard`, of its own Ql |" in rows["f19"]
    assert "`90 - abs(angle(P22, P37))`" in rows["f23"]
    assert rows["W"].split(" | ")[2] == "as `standard`"


def test_every_measurement_can_be_drawn(tmp_path: Path) -> None:
    names = (*DISTANCE_NAMES, *FEATURE_NAMES)
    for definition in DEFINITIONS:
        figure = draw_measurements(names, definition=definition, columns=9)
        drawn = [panel for panel in figure.axes if panel.get_title()]
        assert [panel.get_title().split(" ")[0] for panel in drawn] == list(names)
        for panel, name in zip(drawn, names, strict=True):
            labels = {text.get_text() for text in panel.texts}
            assert labels == {f"P{p}" for p in points_used(name, definition=definition)}, name
    draw_measurements(["f11"]).savefig(tmp_path / "f11.png")
    assert (tmp_path / "f11.png").stat().st_size > 5000


@pytest.mark.parametrize(("name", "side"), [("Nl", "right"), ("Or", "left"), ("C", "midline")])
def test_lines_have_the_colour_of_the_patients_side(name: str, side: str) -> None:
    (panel,) = draw_measurements([name]).axes
    used = {line.get_color() for line in panel.lines} - {"#BBBBBB"}
    assert used == {COLOURS[side]}
