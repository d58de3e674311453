"""One photograph: read, face found, 68 points and irises placed, result judged, overlay drawn.

This is what worker processes do. The module keeps away from pandas and the table schemas, which
would cost every worker 50 MB and a good part of its start-up time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import Photo, read_photo
from landmarks.find.detector import FaceBox, FaceDetector
from landmarks.find.halves import halves_of, joined_with, share_of
from landmarks.find.iris import Iris, Irises, find_irises
from landmarks.find.method import Copy, Method
from landmarks.find.network import NETWORK, LandmarkNetwork
from landmarks.find.refinement import refined
from landmarks.find.tta import Copies, CopyPredictor, centre_of, spread_of
from landmarks.mesh import FaceMesh
from landmarks.overlay import write_overlay
from landmarks.points import N_POINTS, tilt_degrees
from landmarks.predictor import PredictorFile, predict_points

DETECTION_MIN_SIDE = 600
"""Photographs are decoded by 1/2, 1/4 or 1/8 as long as the shorter side keeps this many px."""
IRIS_MIN_SIDE = 1000
"""The same for the irises, which need more detail."""
LIGHT_WIDTH = 128
"""Width in px to which a face is brought before its light and sharpness are measured."""

Faces = Literal["largest", "error"]


def no_points() -> NDArray[np.float64]:
    """Return `(68, 2)` NaN."""
    return np.full((N_POINTS, 2), np.nan)


@dataclass(frozen=True)
class FaceLandmarks:
    """What was found in one photograph; px of the original photograph, upright.

    `status`: `ok`, `no_face`, `several_faces`, `unreadable` or `failed`.
    `points`: `(68, 2)`; NaN unless ok.
    `copies`, `copies_failed`: altered copies made, and those in which no face was found.
    `spread`: `(68, 2)` px: spread of each point over the copies in x and y; NaN without copies.
    `halves_share`: how much mirrored halves count, less than 1 where the head is turned; NaN if not
    asked for.
    `brightness`, `sharpness`: of the grey face in its box, 128 px wide: mean grey level, 0 to 255,
    and standard deviation of its Laplacian as a share of that of the grey levels (blur lowers it,
    noise raises it); NaN unless ok.
    """

    status: str
    reason: str = ""  # one sentence, empty when ok
    n_faces: int | None = None  # seen; None when it did not come to that
    box: FaceBox | None = None  # of the chosen face, None unless ok
    points: NDArray[np.float64] = field(default_factory=no_points)
    sha256: str = ""  # of the file; empty when it could not be read
    copies: int = 0
    copies_failed: int = 0
    spread: NDArray[np.float64] = field(default_factory=no_points)
    halves_share: float = float("nan")
    irises: Irises | None = None  # None unless they were looked for
    brightness: float = float("nan")
    sharpness: float = float("nan")

    @property
    def spread_px(self) -> float:
        """Mean length of the points' spreads; NaN without copies."""
        return float(np.hypot(*self.spread.T).mean())

    @property
    def tilt_deg(self) -> float:
        """Head tilt, counter-clockwise positive as seen; NaN unless ok."""
        return float(tilt_degrees(self.points))


class LandmarkFinder:
    """Finds the 68 points in photographs; load one per process (about 100 MB).

    `faces`: with several faces in a photograph take the `largest`, or make it an `error`
    (`status=several_faces`, no points). `method`: a plain prediction when None. `copy_threads`:
    copies of one photograph worked on at the same time.
    """

    def __init__(
        self,
        predictor: PredictorFile,
        *,
        faces: Faces = "largest",
        method: Method | None = None,
        copy_threads: int = 1,
    ) -> None:
        cv2.setNumThreads(1)
        self._method = method or Method()
        self._predictor = predictor.load()
        if isinstance(self._predictor, FaceMesh):
            self._method = replace(self._method, colour=True)  # which it has learned from
        self._refinement = predictor.load_refinement()
        asked = self._method.asks_network
        self._network = LandmarkNetwork.load(NETWORK) if asked else None
        self._detector = FaceDetector(small_width=self._method.detection_width)
        self._copies = CopyPredictor(
            self._predictor, colour=self._method.colour, threads=copy_threads
        )
        self._faces = faces

    def find_file(self, path: Path) -> FaceLandmarks:
        """Find the points in the photograph at `path`; trouble becomes a status and a reason."""
        grey = not self._method.reads_colour
        try:
            photo = read_photo(path, grey=grey, min_side=DETECTION_MIN_SIDE)
        except PhotoError as error:
            return FaceLandmarks(status="unreadable", reason=str(error))
        return self._find(
            photo, colour=lambda: read_photo(path, min_side=DETECTION_MIN_SIDE).pixels
        )

    def find(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        """Find the points in an `(h, w, 3)` RGB uint8 array, at its own size."""
        return self._find(self._as_photo(rgb), colour=lambda: rgb)

    def faces(self, rgb: NDArray[np.uint8], *, quick: bool = False) -> list[FaceBox]:
        """Return the faces of a picture as in `find`, largest first; `quick`: the first search."""
        seen = self._seen(self._as_photo(rgb))
        return self._detector.find(seen, colour=lambda: rgb, quick=quick)

    def points_in(self, rgb: NDArray[np.uint8], box: FaceBox) -> FaceLandmarks:
        """Place the points in a face whose box is known, as in `find`."""
        photo = self._as_photo(rgb)
        seen = self._seen(photo)
        brightness, sharpness = light_of(seen, box)
        found = FaceLandmarks(status="ok", box=box, brightness=brightness, sharpness=sharpness)
        return self._place_points(photo, seen, box, found)

    def _as_photo(self, rgb: NDArray[np.uint8]) -> Photo:
        pixels = rgb if self._method.reads_colour else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        return Photo(pixels=pixels, width=rgb.shape[1], height=rgb.shape[0], sha256="")

    def _seen(self, photo: Photo) -> NDArray[np.uint8]:
        """Return what detector and predictor look at."""
        if photo.pixels.ndim == 3 and not self._method.colour:
            return np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        return photo.pixels

    def _find(self, photo: Photo, *, colour: Callable[[], NDArray[np.uint8]]) -> FaceLandmarks:
        seen = self._seen(photo)
        faces = self._detector.find(seen, colour=colour)
        found = FaceLandmarks(status="ok", n_faces=len(faces), sha256=photo.sha256)
        if not faces:
            return replace(
                found,
                status="no_face",
                reason="No face was found: use a frontal photograph in which the face fills at "
                "least a tenth of the width.",
            )
        if len(faces) > 1 and self._faces == "error":
            return replace(
                found,
                status="several_faces",
                reason=f"{len(faces)} faces were found: crop the photograph to the patient or use "
                "--faces largest.",
            )
        box = faces[0].scaled(photo.scale, photo.scale).shifted(*photo.offset)
        brightness, sharpness = light_of(seen, faces[0])
        found = replace(found, box=box, brightness=brightness, sharpness=sharpness)
        return self._place_points(photo, seen, faces[0], found)

    def _place_points(
        self, photo: Photo, seen: NDArray[np.uint8], face: FaceBox, found: FaceLandmarks
    ) -> FaceLandmarks:
        """Fill the points of the chosen face into `found`, by the method that was asked for."""
        points = predict_points(self._predictor, seen, face.rectangle())
        if np.isnan(points).any():
            return _without_face(found)
        angle = -float(tilt_degrees(points)) if self._method.relevel else 0.0
        augmentation = self._method.augmentation
        if augmentation is None:
            if self._method.relevel:
                points = self._copies.predict_level(photo.pixels, face, angle_deg=angle)
            copies, drawn = Copies(points[None], n_copies=1), [Copy()]
        else:
            content = photo.sha256 or hashlib.sha256(photo.pixels.tobytes()).hexdigest()
            copies = self._copies.predict(
                photo.pixels, face, augmentation=augmentation, content=content, angle_deg=angle
            )
            drawn = [augmentation.copy(i, content=content) for i in range(len(copies.points))]
            found = replace(found, copies=copies.n_copies, copies_failed=copies.n_failed)
        points = _whole(copies.points)
        if len(points) and self._method.sees_halves:
            found = replace(found, halves_share=share_of(points))
            points = _whole(self._halves(photo, face, points, drawn))
        if len(points) and self._network is not None:
            own = self._network.points(photo.pixels, face, copies=drawn[: len(points)])
            points = joined_with(points, own) if self._method.sees_halves else own
        if not len(points):
            return _without_face(found)
        copies = replace(copies, points=self._refined(photo, face, points))
        return replace(
            found,
            points=photo.to_original(centre_of(copies, average=self._method.average)),
            spread=spread_of(copies) * photo.scale,
        )

    def _halves(
        self, photo: Photo, face: FaceBox, whole: NDArray[np.float64], copies: Sequence[Copy]
    ) -> NDArray[np.float64]:
        return halves_of(
            self._predictor, photo.pixels, face, whole, copies=copies, colour=self._method.colour
        )

    def _refined(
        self, photo: Photo, face: FaceBox, points: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Move points as a clinic's corrections taught, if the model knows of any."""
        known = self._refinement
        return points if known is None else refined(known, photo.pixels, face, points)


def _whole(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return those of `(n, 68, 2)` points in which the model has seen a face."""
    return points[np.isfinite(points).all(axis=(1, 2))]


def _without_face(found: FaceLandmarks) -> FaceLandmarks:
    """Say that there is no face where the detector had found one."""
    where = f"in none of its {found.copies} altered copies" if found.copies else "not by the model"
    reason = (
        f"A face was found in the photograph but {where}: use a frontal photograph, --tta-kind "
        "box, or --tta 0."
    )
    return replace(found, status="no_face", reason=reason, box=None)


def light_of(grey: NDArray[np.uint8], face: FaceBox) -> tuple[float, float]:
    """Return brightness and sharpness of a face in a grey picture; NaN outside of it."""
    left, top = (max(0, round(edge)) for edge in (face.left, face.top))
    cut = grey[top : max(0, round(face.bottom)), left : max(0, round(face.right))]
    if min(cut.shape) < 2:
        return float("nan"), float("nan")
    face_grey = cv2.resize(cut, (LIGHT_WIDTH, LIGHT_WIDTH), interpolation=cv2.INTER_AREA)
    contrast = float(face_grey.std())
    edges = float(cv2.Laplacian(face_grey, cv2.CV_64F).std())
    return float(face_grey.mean()), edges / contrast if contrast else float("nan")


@dataclass(frozen=True)
class PhotoTask:
    """One photograph, and what is wanted beside its points.

    `overlay`: where its overlay goes. `irises`: look for them. `iris_radii`: given radii of the
    right and left iris in px of the photograph; None for those not known.
    """

    image_id: str
    path: Path
    overlay: Path | None = None
    irises: bool = False
    iris_radii: tuple[float | None, float | None] = (None, None)


def do_photo(finder: LandmarkFinder, task: PhotoTask) -> FaceLandmarks:
    """Find the points of one photograph and draw its overlay when there is something to draw."""
    result = finder.find_file(task.path)
    if task.irises:
        result = replace(result, irises=_irises_of(task, result))
    if task.overlay is not None:
        if result.status == "ok":
            _draw(task.path, task.overlay, result)
        else:
            task.overlay.unlink(missing_ok=True)  # of an earlier run with another outcome
    return result


def _irises_of(task: PhotoTask, result: FaceLandmarks) -> Irises:
    if result.status != "ok":
        return Irises()
    # The points came from grey pixels, perhaps smaller ones; irises need colour and detail.
    photo = read_photo(task.path, min_side=IRIS_MIN_SIDE)
    right, left = (None if radius is None else radius / photo.scale for radius in task.iris_radii)
    found = find_irises(
        photo.pixels, photo.from_original(result.points), right_radius=right, left_radius=left
    )

    def in_photograph(iris: Iris, given: float | None) -> Iris:
        x, y = photo.to_original(iris.centre)
        # A given radius holds although the eye is closed.
        radius = iris.radius * photo.scale if given is None else given
        return replace(iris, x=float(x), y=float(y), radius=radius)

    return Irises(
        right=in_photograph(found.right, task.iris_radii[0]),
        left=in_photograph(found.left, task.iris_radii[1]),
    )


def _draw(path: Path, overlay: Path, result: FaceLandmarks) -> None:
    photo = read_photo(path, min_side=DETECTION_MIN_SIDE)
    spread = None if np.isnan(result.spread).any() else result.spread / photo.scale
    write_overlay(overlay, photo.pixels, photo.from_original(result.points), spread=spread)
