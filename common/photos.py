"""The one reader of photographs: any usual file comes out upright, as uint8 RGB or grey.

Large JPEGs can be decoded at a reduced scale; `Photo.to_original` maps coordinates back exactly.
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from common.errors import PhotoError, UserError
from common.files import natural_key
from common.words import counted

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")
OTHER_PICTURE_SUFFIXES = (
    ".gif", ".jp2", ".j2k", ".jxl", ".psd", ".tga", ".pcx", ".ppm", ".pgm", ".svg", ".ico", ".wmf",
    ".emf",
)  # fmt: skip
HEIC_SUFFIXES = (".heic", ".heif", ".avif")
RAW_SUFFIXES = (
    ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".dng", ".orf", ".rw2", ".raf",
    ".pef", ".srw", ".x3f",
)  # fmt: skip
_NAMED = 5  # pictures that are not read and are told by name
MAX_PIXELS = 150_000_000  # above this a header is taken for a decompression bomb

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height when turned upright
_FLIPS_X, _FLIPS_Y = (2, 3, 6, 7), (3, 4, 7, 8)  # those that bring the far end to the origin
_UPRIGHT = {  # what turns each EXIF orientation into 1
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    `pixels` are `(h, w, 3)` RGB or `(h, w)` grey, uint8, contiguous, upright (EXIF applied),
    perhaps smaller than the photograph, whose size is `width` and `height` in px; `sha256` of the
    file's bytes. `scale` is photograph px per px of `pixels` (1, 2, 4 or 8), `offset` x, y in
    photograph px of their outer corner beyond (-0.5, -0.5): not 0 where a reduced decode did not
    divide the size and the photograph was turned afterwards.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    sha256: str
    scale: int = 1
    offset: tuple[int, int] = (0, 0)

    def to_original(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(..., 2)` x, y of `pixels` to px of the photograph, centres at integers."""
        corner = np.asarray(self.offset, dtype=np.float64) - 0.5
        return (np.asarray(points, dtype=np.float64) + 0.5) * self.scale + corner

    def from_original(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(..., 2)` x, y in px of the photograph to px of `pixels`: undoes `to_original`."""
        corner = np.asarray(self.offset, dtype=np.float64) - 0.5
        return (np.asarray(points, dtype=np.float64) - corner) / self.scale - 0.5


def read_photo(path: Path, *, grey: bool = False, min_side: int | None = None) -> Photo:
    """Read one photograph: JPEG, PNG, TIFF, BMP or WebP, told by content and not by name.

    Transparent parts are laid on white; 16-bit values are scaled to 8 bits (grey by 1/257, colour
    by Pillow, which keeps the high byte); CMYK, palette and grey are converted; the first picture
    of a multi-page file is taken. `grey` gives luma (ITU-R BT.601), faster for JPEG; `min_side`
    allows a reduced decode by 2, 4 or 8 while the shorter side keeps so many px. PhotoError when
    the file is missing, empty, truncated, of another kind, or absurdly large.
    """
    try:
        # Pillow warns of odd metadata and of sizes that are judged here; neither is news.
        with _open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Hashed and decoded from the open file: a large PNG or TIFF is never held whole.
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                photo = _decode(image, grey=grey, min_side=min_side)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(_what_it_is(path)) from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path.name} says it is larger than {MAX_PIXELS // 1_000_000} megapixels, which no "
            "clinical photograph is: check the file or scale it down."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, ArithmeticError) as error:
        raise PhotoError(
            f"{path.name} cannot be decoded ({_first_line(error)}): it is damaged, cut short or of "
            "an unusual kind; copy it again from the camera or save it as JPEG."
        ) from error
    return replace(photo, sha256=sha256)


def upright_size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a photograph turned upright, from its header alone.

    None where there is no photograph that can be read.
    """
    try:
        with _open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_FORMATS) as image:
                turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _SIDEWAYS
                # Pillow gives the size of a TIFF upright and that of others as stored.
                return image.size[::-1] if turned and image.format != "TIFF" else image.size
    except (UserError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


@dataclass(frozen=True)
class PhotoFolder:
    """What a folder holds: photographs as (`image_id`, path), and sentences on what is not in them.

    `problems` tell of folders that could not be searched, `others` of pictures that are not read.
    """

    photos: tuple[tuple[str, Path], ...]
    problems: tuple[str, ...]
    others: tuple[str, ...] = ()


def list_photos(folder: Path) -> PhotoFolder:
    """Find every photograph below a folder, in natural order of `image_id`.

    Hidden files (`._name.jpg`) are passed over, links to folders are followed once; HEIC and RAW
    files are listed, so that each gets a row with its reason, other pictures counted and named.
    """
    photos: list[tuple[str, Path]] = []
    problems: list[str] = []
    others: list[str] = []
    for file in files_below(folder, problems=problems):
        if file.suffix.lower() in OTHER_PICTURE_SUFFIXES:
            others.append(image_id_of(file, folder))
        elif file.suffix.lower() in (*PHOTO_SUFFIXES, *HEIC_SUFFIXES, *RAW_SUFFIXES):
            photos.append((image_id_of(file, folder), file))
    others.sort(key=natural_key)
    named = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    not_read = (
        f"{counted(len(others), 'picture')} in {folder} of a kind that is not read ({named}): save "
        "as JPEG or PNG what is a photograph of a patient."
    )
    return PhotoFolder(
        photos=tuple(sorted(photos, key=lambda photo: natural_key(photo[0]))),
        problems=tuple(problems),
        others=(not_read,) if others else (),
    )


def image_id_of(path: Path, folder: Path) -> str:
    """Return the path below `folder` with `/`; bytes that are not UTF-8 become `\\xNN`.

    A carriage return, which a CSV reader would take for the end of a row, becomes `\\x0d`.
    """
    relative = path.relative_to(folder).as_posix()
    return os.fsencode(relative).decode("utf-8", "backslashreplace").replace("\r", "\\x0d")


def _decode(image: Image.Image, *, grey: bool, min_side: int | None) -> Photo:
    """Decode an opened image to an upright `Photo` (whose `sha256` the caller fills in)."""
    width, height = image.size
    mode = "L" if grey else "RGB"
    scale = _reduction(min(width, height), min_side)
    drafted = image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")
    if drafted:
        image.draft(mode, (-(-width // scale), -(-height // scale)))
    image.load()
    # Pillow has turned a TIFF upright and taken this out of it, and nothing else.
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    already = round(max(width, height) / max(image.size))  # what the JPEG decoder has reduced
    image = _to_8_bits(image)
    if already < scale:
        image = image.reduce(scale // already)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in _SIDEWAYS:
        width, height = height, width
    pixels = np.array(image.convert(mode), dtype=np.uint8, order="C")
    h, w = pixels.shape[:2]
    offset = (
        width - w * scale if orientation in _FLIPS_X else 0,
        height - h * scale if orientation in _FLIPS_Y else 0,
    )
    return Photo(pixels=pixels, width=width, height=height, sha256="", scale=scale, offset=offset)


def _reduction(shorter_side: int, min_side: int | None) -> int:
    if min_side is None:
        return 1
    return next((factor for factor in (8, 4, 2) if shorter_side >= factor * min_side), 1)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return the image as 8-bit RGB or L without transparency."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined brightness")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        if values.max(initial=0) > 65535 or values.min(initial=0) < 0:
            raise ValueError("its whole numbers go beyond 16 bits per pixel")
        return Image.fromarray(np.rint(values / 257).astype(np.uint8))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        paper.alpha_composite(layer)
        return paper.convert("RGB")
    return image.convert("RGB")


def _open(path: Path) -> BufferedReader:
    if path.suffix.lower() in RAW_SUFFIXES:
        raise PhotoError(
            f"{path.name} is a RAW file: export it as JPEG or TIFF with the camera's own program."
        )
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
            raise PhotoError(f"{path.name} is no file but a folder or a device: check the name.")
        if status.st_size == 0:
            raise PhotoError(f"{path.name} is empty (0 bytes): copy it again from the camera.")
        return path.open("rb")
    except OSError as error:
        raise PhotoError(
            f"{path.name} cannot be opened ({error.strerror or error}): check that the file "
            "exists and that you may read it."
        ) from error


def _what_it_is(path: Path) -> str:
    """Name the kind of a file that is no supported photograph, with the way out."""
    with path.open("rb") as file:
        content = file.read(12)
    if content[4:8] == b"ftyp" or path.suffix.lower() in HEIC_SUFFIXES:
        return (
            f"{path.name} is a HEIC/AVIF photograph or a video: on an iPhone choose Settings > "
            "Camera > Formats > Most Compatible, or export it as JPEG."
        )
    kind = "a GIF" if content.startswith(b"GIF8") else "no photograph that can be read"
    return f"{path.name} is {kind}: give a JPEG, PNG, TIFF, BMP or WebP file."


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def files_below(folder: Path, *, problems: list[str]) -> Iterator[Path]:
    """Yield every file below a folder but hidden ones; closed folders are told in `problems`."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give a folder of photographs.")
    seen: set[Path] = set()

    def complain(error: OSError) -> None:
        problems.append(
            f"The folder {error.filename} cannot be searched ({error.strerror}): its photographs "
            "are missing; give yourself the right to read it and run again."
        )

    # Real folders before links, both in order: what is found under two names keeps the same one.
    waiting = deque([folder])
    while waiting:
        for here, folders, files in os.walk(waiting.popleft(), onerror=complain):
            real = Path(here).resolve()
            if real in seen:  # a link that leads back, or to what has been searched
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted((n for n in folders if not n.startswith(".")), key=natural_key)
            below = [Path(here) / name for name in folders]
            waiting.extend(path for path in below if path.is_symlink())
            yield from (Path(here) / name for name in files if not name.startswith("."))
