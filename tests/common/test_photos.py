from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import PhotoError, UserError
from common.files import sha256_of
from common.photos import MAX_PIXELS, Photo, image_id_of, list_photos, read_photo
from tests.common.photo_files import as_stored, png_with_header, save

RNG = np.random.default_rng(7)
SCENE = RNG.integers(0, 256, (17, 29, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (17, 29), dtype=np.uint8)
LOSSLESS = [
    ("scene.png", {}),
    ("scene.tif", {}),
    ("lzw.tiff", {"compression": "tiff_lzw"}),
    ("scene.bmp", {}),
    ("scene.webp", {"lossless": True}),
]
ORIENTATIONS = range(1, 9)


# --- formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_lossless_formats_give_the_exact_pixels(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = save(tmp_path / name, SCENE, **options)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, SCENE)
    assert (photo.width, photo.height, photo.scale) == (29, 17, 1)
    assert photo.sha256 == sha256_of(path)


def test_jpeg_is_close_to_the_scene_and_not_channel_swapped(tmp_path: Path) -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 220
    pixels = read_photo(save(tmp_path / "red.jpg", red, quality=95)).pixels
    assert np.abs(pixels.astype(int) - red).max() <= 4


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["scene.png", "scene.tif", "scene.webp"])
def test_every_orientation_comes_out_upright(tmp_path: Path, name: str, orientation: int) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    stored = as_stored(SCENE, orientation)
    path = save(tmp_path / name, stored, orientation=orientation, **options)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, SCENE)
    assert (photo.width, photo.height) == (29, 17)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_jpeg_orientation_agrees_with_opencv(
    tmp_path: Path, portrait: np.ndarray, orientation: int
) -> None:
    stored = as_stored(portrait[:200:2, :360:3], orientation)
    path = save(tmp_path / "p.jpg", stored, orientation=orientation, quality=95)
    ours = read_photo(path).pixels
    theirs = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert ours.shape == theirs.shape == (100, 120, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 3


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_passed_over(
    tmp_path: Path, orientation: int
) -> None:
    path = save(tmp_path / "odd.png", SCENE, orientation=orientation)
    np.testing.assert_array_equal(read_photo(path).pixels, SCENE)


# --- kinds of pixels ---------------------------------------------------------------------------


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    alpha = np.full((17, 29, 1), 255, np.uint8)
    alpha[:, :10] = 0
    pixels = read_photo(save(tmp_path / "rgba.png", np.concatenate([SCENE, alpha], axis=2))).pixels
    np.testing.assert_array_equal(pixels[:, 10:], SCENE[:, 10:])
    assert (pixels[:, :10] == 255).all()


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 3] = 51  # a fifth black, four fifths white paper
    assert (read_photo(save(tmp_path / "half.png", rgba)).pixels == 204).all()


def test_grey_with_transparency(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[5] = 0
    layer = Image.fromarray(np.dstack([GREY, alpha]), mode=None)
    layer.save(tmp_path / "la.png")
    pixels = read_photo(tmp_path / "la.png").pixels
    assert pixels.shape == (17, 29, 3)
    assert (pixels[5] == 255).all()
    np.testing.assert_array_equal(pixels[:5, :, 1], GREY[:5])


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 1, 2, 3])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "p.png", transparency=2)
    expected = [[[10, 20, 30], [200, 100, 50], [255, 255, 255]]]
    np.testing.assert_array_equal(read_photo(tmp_path / "p.png").pixels, expected)


def test_palette_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "p.bmp")
    np.testing.assert_array_equal(
        read_photo(tmp_path / "p.bmp").pixels, [[[200, 100, 50], [10, 20, 30]]]
    )


@pytest.mark.parametrize("name", ["g.png", "g.tif", "g.bmp", "g.jpg"])
def test_grey_becomes_rgb_with_three_equal_channels(tmp_path: Path, name: str) -> None:
    smooth = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    pixels = read_photo(save(tmp_path / name, smooth)).pixels
    assert pixels.shape == (16, 24, 3)
    assert (pixels == pixels[..., :1]).all()
    assert np.abs(pixels[..., 0].astype(int) - smooth).max() <= (3 if name == "g.jpg" else 0)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    pixels = read_photo(save(tmp_path / name, deep)).pixels
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 0, 1, 1, 128, 255])
    assert pixels.shape == (1, 6, 3)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_16_bit_colour_is_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    deep = SCENE.astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / name), deep[..., ::-1])
    np.testing.assert_array_equal(read_photo(tmp_path / name).pixels, SCENE)


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "bw.png")
    pixels = read_photo(tmp_path / "bw.png").pixels
    np.testing.assert_array_equal(pixels[..., 0], np.where(GREY > 127, 255, 0))
    assert pixels.shape == (17, 29, 3)


@pytest.mark.parametrize("name", ["c.jpg", "c.tif"])
def test_cmyk_comes_out_in_its_colour(tmp_path: Path, name: str) -> None:
    Image.new("CMYK", (24, 16), (0, 255, 255, 0)).save(tmp_path / name)  # magenta + yellow
    red, green, blue = read_photo(tmp_path / name).pixels.reshape(-1, 3).mean(axis=0)
    assert red > 200 > 60 > max(green, blue)


def test_grey_is_the_luma_of_the_colours(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.png", SCENE)
    luma = SCENE @ np.array([0.299, 0.587, 0.114])
    grey = read_photo(path, grey=True).pixels
    assert grey.shape == (17, 29)
    assert grey.flags.c_contiguous
    assert np.abs(grey - luma).max() <= 1


def test_the_first_page_is_taken(tmp_path: Path) -> None:
    pages = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_photo(tmp_path / "pages.tif").pixels, SCENE)


def test_a_two_picture_jpeg_of_a_camera_is_read(tmp_path: Path, portrait: np.ndarray) -> None:
    first, second = Image.fromarray(portrait), Image.fromarray(portrait[:100, :100])
    first.save(tmp_path / "mpo.jpg", format="MPO", save_all=True, append_images=[second])
    photo = read_photo(tmp_path / "mpo.jpg", min_side=100)
    assert (photo.width, photo.height, photo.scale) == (512, 512, 4)
    assert photo.pixels.shape == (128, 128, 3)


# --- reduced decoding --------------------------------------------------------------------------

SPOT_SIGMA = 14.0  # px; wide enough to be seen in a copy reduced by 8


def spot(width: int, height: int, *, x: float, y: float) -> np.ndarray:
    """A dark picture with one bright spot at (x, y)."""
    across = np.exp(-0.5 * ((np.arange(width) - x) / SPOT_SIGMA) ** 2)
    down = np.exp(-0.5 * ((np.arange(height) - y) / SPOT_SIGMA) ** 2)
    grey = np.rint(255 * np.outer(down, across)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def centroid(pixels: np.ndarray) -> np.ndarray:
    weight = np.clip(pixels[..., 0].astype(np.float64) - 8, 0, None)  # without JPEG's ripples
    ys, xs = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["spot.jpg", "spot.png", "spot.tif"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_bright_spot_is_mapped_back_to_its_place(
    tmp_path: Path, name: str, orientation: int, scale: int
) -> None:
    # Sizes that no reduction divides, so that the edge of the copy is a part of a pixel.
    width, height = 517, 389
    x, y = 140.3, 251.8
    stored = as_stored(spot(width, height, x=x, y=y), orientation)
    path = save(tmp_path / name, stored, orientation=orientation)
    photo = read_photo(path, min_side=height // scale)
    assert (photo.width, photo.height, photo.scale) == (width, height, scale)
    assert photo.pixels.shape[1::-1] == (-(-width // scale), -(-height // scale))
    np.testing.assert_allclose(photo.to_original(centroid(photo.pixels)), [x, y], atol=0.1)


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(200, 460),
    height=st.integers(200, 460),
    orientation=st.sampled_from(ORIENTATIONS),
    min_side=st.integers(25, 220),
    place=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_the_spot_is_found_whatever_the_size(
    width: int, height: int, orientation: int, min_side: int, place: tuple[float, float]
) -> None:
    x, y = place[0] * width, place[1] * height
    stored = as_stored(spot(width, height, x=x, y=y), orientation)
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "spot.jpg", stored, orientation=orientation, quality=95)
        photo = read_photo(path, grey=True, min_side=min_side)
    assert photo.scale in (1, 2, 4, 8)
    assert photo.scale == 1 or min(width, height) / photo.scale >= min_side
    found = photo.to_original(centroid(photo.pixels[..., None]))
    np.testing.assert_allclose(found, [x, y], atol=0.15)


@given(
    scale=st.sampled_from([1, 2, 4, 8]),
    offset=st.tuples(st.integers(-7, 0), st.integers(-7, 0)),
    point=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
)
def test_to_original_and_from_original_undo_each_other(
    scale: int, offset: tuple[int, int], point: tuple[float, float]
) -> None:
    blank = np.zeros((1, 1), np.uint8)
    photo = Photo(pixels=blank, width=1, height=1, sha256="", scale=scale, offset=offset)
    points = np.array([point])
    np.testing.assert_allclose(photo.from_original(photo.to_original(points)), points, atol=1e-9)
    np.testing.assert_allclose(photo.to_original(photo.from_original(points)), points, atol=1e-9)


def test_pixel_centres_are_at_integers() -> None:
    blank = np.zeros((2, 2), np.uint8)
    photo = Photo(pixels=blank, width=8, height=8, sha256="", scale=4)
    # The first pixel of a copy reduced by 4 covers pixels 0 to 3, whose middle is 1.5.
    np.testing.assert_array_equal(photo.to_original(np.array([0.0, 1.0])), [1.5, 5.5])


@pytest.mark.parametrize(
    ("side", "scale"), [(599, 1), (1199, 1), (1200, 2), (2399, 2), (2400, 4), (4800, 8)]
)
def test_the_shorter_side_keeps_what_was_asked_for(tmp_path: Path, side: int, scale: int) -> None:
    path = save(tmp_path / "flat.jpg", np.full((side, side + 50), 99, np.uint8))
    assert read_photo(path, grey=True, min_side=600).scale == scale


# --- refusals ----------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "e.jpg").touch()
    assert "empty (0 bytes)" in refusal(tmp_path / "e.jpg")


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.jpg")


def test_a_folder_named_like_a_photograph(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    assert "a folder or a device" in refusal(tmp_path / "folder.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "a folder or a device" in refusal(tmp_path / "pipe.jpg")


def test_a_file_without_the_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "closed.png", SCENE)

    def closed(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", closed)  # the tests may run as root, who may read anything
    assert "Permission denied" in refusal(path)


def test_a_text_renamed_to_jpg(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("patient 7, smile, second visit\n")
    assert "no photograph that can be read" in refusal(tmp_path / "notes.jpg")


@pytest.mark.parametrize("name", ["t.jpg", "t.png", "t.bmp", "t.tif", "t.webp"])
def test_a_truncated_file(tmp_path: Path, portrait: np.ndarray, name: str) -> None:
    path = save(tmp_path / name, portrait[:200, :200])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "cut short" in refusal(path)


def test_a_header_alone(tmp_path: Path) -> None:
    for name in ("h.jpg", "h.png"):
        path = save(tmp_path / name, SCENE)
        path.write_bytes(path.read_bytes()[:20])
        refusal(path)


def test_a_mislabelled_photograph_is_read_for_what_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.png", SCENE).rename(tmp_path / "scene.jpg")
    np.testing.assert_array_equal(read_photo(path).pixels, SCENE)


@pytest.mark.parametrize("name", ["a.heic", "a.HEIC", "a.heif", "renamed.jpg"])
def test_heic_says_how_to_convert(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    sentence = refusal(tmp_path / name)
    assert "HEIC" in sentence
    assert "Most Compatible" in sentence
    assert "JPEG" in sentence


@pytest.mark.parametrize("name", ["a.CR2", "a.nef", "a.dng"])
def test_raw_says_how_to_convert(tmp_path: Path, name: str) -> None:
    save(tmp_path / "x.tif", SCENE).rename(tmp_path / name)  # RAW files look like TIFF inside
    assert "RAW" in refusal(tmp_path / name)


def test_gif_is_named(tmp_path: Path) -> None:
    save(tmp_path / "g.gif", GREY)
    assert "a GIF" in refusal(tmp_path / "g.gif")


def test_floating_point_tiff(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "f.tif")
    assert "floating-point" in refusal(tmp_path / "f.tif")


def test_32_bit_whole_numbers(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.int32) * 1000).save(tmp_path / "i.tif")
    assert "16 bits" in refusal(tmp_path / "i.tif")


@pytest.mark.parametrize("side", [12_248, 60_000, 2_000_000_000])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    path = png_with_header(tmp_path / "bomb.png", width=side, height=side)
    assert "150 megapixels" in refusal(path)


def test_just_below_the_limit_a_header_is_believed(tmp_path: Path) -> None:
    path = png_with_header(tmp_path / "b.png", width=12_247, height=12_247)
    assert "megapixels" not in refusal(path)  # it is cut short, which is another thing


def test_one_pixel(tmp_path: Path) -> None:
    for name in ("one.png", "one.jpg"):
        path = save(tmp_path / name, np.full((1, 1, 3), 77, np.uint8))
        assert read_photo(path, min_side=600).pixels.tolist() == [[[77, 77, 77]]]


def damaged_seeds() -> list[bytes]:
    smooth = cv2.resize(SCENE, (16, 12))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    contents = []
    for kind, options in (
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {"exif": exif}),
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"exif": exif}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(smooth).save(buffer, kind, **options)
        contents.append(buffer.getvalue())
    return contents


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.sampled_from(damaged_seeds()),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    head=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 255)), max_size=3),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
    min_side=st.sampled_from([None, 3]),
)
def test_damaged_bytes_give_a_photo_or_a_photo_error(
    content: bytes,
    flips: list[tuple[float, int]],
    head: list[tuple[int, int]],
    kept: float,
    min_side: int | None,
) -> None:
    damaged = bytearray(content)
    for place, value in flips:
        damaged[int(place * len(damaged))] = value
    for place, value in head:
        damaged[place % len(damaged)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.jpg"
        path.write_bytes(damaged[: int(kept * len(damaged))])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                photo = read_photo(path, min_side=min_side)
            except PhotoError as error:
                assert "damaged.jpg" in str(error)
                assert "\n" not in str(error)
            else:
                assert photo.pixels.dtype == np.uint8
                assert photo.pixels.ndim == 3


# --- folders -----------------------------------------------------------------------------------


def ids(folder: Path) -> list[str]:
    return [image_id for image_id, _ in list_photos(folder).photos]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_photographs_are_listed_in_natural_order_with_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, "p10/a2.jpg", "p10/a10.jpg", "p2/a1.JPG", "p2/notes.txt", "z.heic", "q.NEF")
    assert ids(tmp_path) == ["p2/a1.JPG", "p10/a2.jpg", "p10/a10.jpg", "q.NEF", "z.heic"]


def test_pictures_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jfif", "p2/face.GIF", "p1/logo.svg", "notes.txt")
    assert ids(tmp_path) == ["a.jpg", "b.jfif"]
    (sentence,) = list_photos(tmp_path).others
    assert sentence.startswith(
        f"2 pictures in {tmp_path} of a kind that is not read (p1/logo.svg, "
    )
    assert not list_photos(tmp_path).problems


def test_the_same_name_in_two_folders_gives_two_ids(tmp_path: Path) -> None:
    touch(tmp_path, "visit1/smile.jpg", "visit2/smile.jpg")
    assert ids(tmp_path) == ["visit1/smile.jpg", "visit2/smile.jpg"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "._a.jpg", ".thumbnails/a.jpg", "a.jpg")
    assert ids(tmp_path) == ["a.jpg"]


def test_odd_names_are_kept(tmp_path: Path) -> None:
    names = ["Müller, Jörg.jpg", "two\nlines.png", "笑顔 1.tif", 'quote".bmp']
    touch(tmp_path, *names)
    assert sorted(ids(tmp_path)) == sorted(names)
    assert all(path.is_file() for _, path in list_photos(tmp_path).photos)


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_bytes_that_are_not_utf8_can_be_written_to_a_table(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:  # noqa: PTH123  (a Path cannot be made of bytes)
        file.write(b"x")
    ((image_id, path),) = list_photos(tmp_path).photos
    assert image_id == r"caf\xe9.jpg"
    assert image_id.encode("utf-8")
    assert path.read_bytes() == b"x"


def test_a_link_that_leads_back_is_not_followed_for_ever(tmp_path: Path) -> None:
    touch(tmp_path, "p1/a.jpg")
    (tmp_path / "p1" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert ids(tmp_path) == ["p1/a.jpg"]


def test_a_link_to_itself_is_listed_and_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    ((image_id, path),) = list_photos(tmp_path).photos
    assert image_id == "loop.jpg"
    refusal(path)


def test_a_linked_folder_is_searched_once_and_always_under_the_same_name(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg")
    source = tmp_path / "source"
    for order in (("b", "a", "c"), ("c", "b", "a")):
        source.mkdir()
        for name in order:
            (source / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        assert ids(source) == ["a/a.jpg"]
        for name in order:
            (source / name).unlink()
        source.rmdir()


def test_a_real_folder_is_preferred_to_a_link_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "patients/a.jpg")
    (tmp_path / "alias").symlink_to(tmp_path / "patients", target_is_directory=True)
    assert ids(tmp_path) == ["patients/a.jpg"]


def test_a_closed_folder_is_reported_and_the_others_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "open/a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def refuse(path: str | Path) -> object:  # the tests may run as root, who may read anything
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_photos(tmp_path)
    assert [image_id for image_id, _ in found.photos] == ["open/a.jpg"]
    (problem,) = found.problems
    assert "closed" in problem
    assert "Permission denied" in problem
    assert "\n" not in problem


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        list_photos(tmp_path / "none")


def test_image_id_uses_forward_slashes(tmp_path: Path) -> None:
    assert image_id_of(tmp_path / "a" / "b c.jpg", tmp_path) == "a/b c.jpg"


def test_a_carriage_return_in_a_name_cannot_end_a_row_of_a_table(tmp_path: Path) -> None:
    touch(tmp_path, "a\rb.jpg")
    assert ids(tmp_path) == [r"a\x0db.jpg"]
