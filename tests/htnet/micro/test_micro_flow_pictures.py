"""Colours tell direction and length, arrows point where the face goes, legends give the units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.photos import read_photo
from htnet.micro.clips.maps import face_map
from htnet.micro.clips.pictures import (
    WHEEL,
    draw_arrows,
    flow_colours,
    flow_picture,
    wheel_picture,
    write_flow_picture,
)
from tests.htnet.drawn_faces import face_points

SIZE = 224
DIRECTIONS = {(1, 0): 0, (0, 1): 1, (-1, 0): 2, (0, -1): 3}  # right, down, left, up


@pytest.mark.parametrize(("direction", "place"), DIRECTIONS.items())
def test_each_direction_has_its_colour_and_rest_is_white(
    direction: tuple[int, int], place: int
) -> None:
    flow = np.zeros((1, 3, 2), dtype=np.float32)
    flow[0, 1] = np.array(direction) * 2.0
    flow[0, 2] = np.array(direction) * 9.0
    rest, half, full = flow_colours(flow, fastest=4.0)[0].astype(int)
    assert rest.tolist() == [255, 255, 255]
    assert np.abs(full - WHEEL[place]).max() <= 1
    assert np.abs(half - (WHEEL[place] + 255) / 2).max() <= 1


def test_the_wheel_shows_at_each_place_the_colour_of_motion_to_there() -> None:
    wheel = wheel_picture(101).astype(int)
    for (dx, dy), place in DIRECTIONS.items():
        at = wheel[50 + 48 * dy, 50 + 48 * dx]
        assert np.abs(at - WHEEL[place]).max() < 15
    assert wheel[50, 50].min() > 250
    assert wheel[0, 0].tolist() == [255, 255, 255]


def test_neighbouring_directions_have_neighbouring_colours() -> None:
    turn = np.linspace(0, 2 * np.pi, 721)
    flow = np.stack([np.cos(turn), np.sin(turn)], axis=-1)[None].astype(np.float32)
    colours = flow_colours(flow, fastest=1.0)[0].astype(int)
    assert np.abs(np.diff(colours, axis=0)).max() <= 3  # no jump, also not where the circle closes


def test_arrows_lie_where_the_face_moves_and_nowhere_else() -> None:
    face = np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)
    flow = np.zeros((SIZE, SIZE, 2), dtype=np.float32)
    assert (draw_arrows(face, flow, fastest=2.0) == 90).all()
    flow[:, 150:] = [2.0, 0.0]
    drawn = draw_arrows(face, flow, fastest=2.0)
    changed = (drawn != 90).any(axis=(0, 2))
    assert changed[240:].any()
    assert not changed[:200].any()


def test_noise_is_not_drawn_as_if_it_were_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, (SIZE, SIZE, 2)).astype(np.float32)
    whole = face_map(noise, face_points(SIZE))
    face = np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)
    picture = flow_picture(whole, face, face_px=170.0, title="still")
    colours = picture[58 : 58 + 336, 360 : 360 + 336]
    assert colours[5:-5, 5:-5].min() > 200  # nearly white
    path = tmp_path / "sub" / "c.png"
    write_flow_picture(path, whole, face, face_px=170.0, title="still")
    assert np.array_equal(read_photo(path).pixels, picture)
