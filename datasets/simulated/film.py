"""A film of a simulated patient: what moves when, the face at any time, and its frames.

A film begins at rest and goes through the standard movements, each with onset, hold and return;
blinks come in between. The weak side may follow later. What palsy leaves of a movement, and what
joins in unasked, is that of the photographs: `movement`. Frames are as exact as photographs and
quicker: the room is painted once and moves with the camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.movements import MOVEMENTS
from datasets.simulated.canvas import FloatArray, Image
from datasets.simulated.face import Patient
from datasets.simulated.look import View
from datasets.simulated.movement import MUSCLES, Expression, contract, intended
from datasets.simulated.render import DrawnHead, Projection, develop, draw_head
from datasets.simulated.shape import neutral_points
from datasets.simulated.surroundings import paint_surroundings

BLINK = "blink"
EYE_CLOSURES = ("gentle_eye_closure", "full_eye_closure")
_FIRST_REST_S, _LAST_REST_S = 1.2, 0.4
_CLOSER = 1.2  # than for a photograph, so that the face fills a picture that is wider than high
_OCULI, _JAW = MUSCLES.index("oculi"), MUSCLES.index("jaw")


@dataclass(frozen=True)
class Act:
    """One movement or blink: its start, its onset, hold and return, s; its size, 1 is full.

    `sag` is the share that is lost while it is held: the face tires, and the peak is one moment.
    """

    task: str
    start: float
    onset: float
    hold: float
    back: float
    size: float = 1.0
    sag: float = 0.0

    @property
    def end(self) -> float:
        """When the face is at rest again, s."""
        return self.start + self.onset + self.hold + self.back

    def course(self, times: ArrayLike) -> FloatArray:
        """How far the act is carried out at each time, 0 to `size`.

        Up and down is the smoothest way between two points (minimum jerk; Flash and Hogan 1985).
        """
        t = np.asarray(times, float) - self.start
        up = _smooth(t / self.onset)
        kept = 1 - self.sag * np.clip((t - self.onset) / self.hold, 0, 1)
        down = _smooth((t - self.onset - self.hold) / self.back)
        return self.size * up * kept * (1 - down)


@dataclass(frozen=True)
class HeadMotion:
    """How the head departs from where it was, frame by frame; each ``(frames,)``.

    Yaw, pitch and roll as in `View`, degrees; shift to the right and down in widths of the
    picture; `nearness` is the factor by which the face grows.
    """

    yaw: FloatArray
    pitch: FloatArray
    roll: FloatArray
    right: FloatArray
    down: FloatArray
    nearness: FloatArray

    @classmethod
    def still(cls, frames: int, **moved: ArrayLike) -> HeadMotion:
        """A head that does not move, but for what is given by name."""
        tracks = {name: np.zeros(frames) for name in ("yaw", "pitch", "roll", "right", "down")}
        tracks |= {"nearness": np.ones(frames)}
        given = {name: np.broadcast_to(track, frames) for name, track in moved.items()}
        return cls(**(tracks | given))

    @classmethod
    def slight(cls, rng: np.random.Generator, times: FloatArray) -> HeadMotion:
        """The slow sway of somebody who sits still: about 1 degree and 1 % of the picture."""

        def sway(size: float) -> FloatArray:
            track = np.zeros_like(times)
            for part in (0.6, 0.4):
                rate, phase = rng.uniform(0.08, 0.45), rng.uniform(0, 2 * np.pi)
                track += part * np.sin(2 * np.pi * rate * times + phase)
            return size * track

        return cls(sway(1.2), sway(1.0), sway(0.8), sway(0.006), sway(0.006), 1 + sway(0.01))

    def view(self, view: View, frame: int) -> View:
        """The view of one frame."""
        return replace(
            view,
            yaw=view.yaw + float(self.yaw[frame]),
            pitch=view.pitch + float(self.pitch[frame]),
            roll=view.roll + float(self.roll[frame]),
            shift=view.shift + np.array([self.right[frame], self.down[frame]]),
            distance=view.distance * float(self.nearness[frame]),
        )


@dataclass(frozen=True)
class Film:
    """A film before it is drawn: who does what when; `times` of its frames, s.

    The weak side follows `lag` seconds behind the other.
    """

    patient: Patient
    times: FloatArray
    acts: tuple[Act, ...]
    lag: float
    head: HeadMotion

    @cached_property
    def _neutral(self) -> FloatArray:
        return neutral_points(self.patient.shape)

    def face(self, time: float, *, acts: tuple[Act, ...] | None = None) -> Expression:
        """Shape the face at a time, s; of all acts, or only of those given."""
        palsy, vigour = self.patient.palsy, self.patient.vigour
        delays = np.array([self.lag * (palsy.side == side) for side in ("right", "left")])
        asked = np.zeros((len(MUSCLES), 2))
        for act in self.acts if acts is None else acts:
            done = act.course(time - delays)
            if act.task == BLINK:  # a reflex closes the eye, however strong its muscle
                asked[_OCULI] += done / vigour.factors[_OCULI]
            else:
                pull = intended(act.task)[:, None] * done
                pull[_JAW] = pull[_JAW, int(np.argmin(delays))]  # one bone: it moves as a whole
                asked += pull
        return contract(self._neutral, palsy, vigour, asked)


def plan_film(
    patient: Patient,
    *,
    seconds: float = 22.0,
    fps: float = 30.0,
    tasks: tuple[str, ...] = MOVEMENTS[1:],
    head: HeadMotion | None = None,
) -> Film:
    """Decide what a patient does in a film; the same arguments give the same film.

    Movements follow each other as far as the seconds reach; none is cut. The head sways slightly
    unless its motion is given.
    """
    rng = np.random.default_rng([patient.seed, 20])
    times = np.arange(round(seconds * fps)) / fps
    acts: list[Act] = []
    at = _FIRST_REST_S + rng.uniform(0, 0.3)
    for task in tasks:
        onset, hold, back = rng.uniform((0.35, 0.7, 0.4), (0.6, 1.1, 0.7))
        act = Act(task, at, onset, hold, back, sag=rng.uniform(0.04, 0.08))
        if act.end > seconds - _LAST_REST_S:
            break
        acts.append(act)
        at = act.end + rng.uniform(0.55, 0.85)
    lag = float(rng.uniform(0, 0.025)) * (patient.palsy.grade - 1)
    acts += _blinks(rng, acts, seconds=seconds)
    motion = HeadMotion.slight(rng, times) if head is None else head
    closer = replace(patient.view, distance=_CLOSER * patient.view.distance)
    patient = replace(patient, view=closer)
    return Film(patient, times, tuple(sorted(acts, key=lambda act: act.start)), lag, motion)


def _blinks(rng: np.random.Generator, movements: list[Act], *, seconds: float) -> list[Act]:
    """Blinks every few seconds, one in four of them incomplete; where the face is otherwise still.

    So is known how far each alone closes the eyes.
    """
    starts = [0.0, *(act.end for act in movements)]
    ends = [*(act.start for act in movements), seconds]
    still = list(zip(starts, ends, strict=True))
    still += [
        (act.start + act.onset, act.start + act.onset + act.hold)
        for act in movements
        if act.task not in EYE_CLOSURES
    ]
    blinks = []
    next_one = rng.uniform(0.3, 1.0)
    for begin, end in sorted(still):
        size = float(rng.uniform(0.55, 0.75)) if rng.random() < 0.25 else 1.0
        down, shut, up = rng.uniform(0.07, 0.11), rng.uniform(0.035, 0.06), rng.uniform(0.13, 0.2)
        blink = Act(BLINK, max(begin + 0.15, next_one), down, shut, up, size)
        if blink.end < end - 0.15:
            blinks.append(blink)
            next_one = blink.end + rng.uniform(1.5, 4.0)
    return blinks


def _smooth(t: FloatArray) -> FloatArray:
    """From 0 at t = 0 to 1 at t = 1 without a jolt."""
    t = np.clip(t, 0, 1)
    smooth: FloatArray = t**3 * (10 + t * (6 * t - 15))
    return smooth


def film_frames(
    film: Film, *, width: int, height: int
) -> Iterator[tuple[NDArray[np.uint8], FloatArray]]:
    """Yield the frames `(height, width, 3)` RGB uint8 and their `(68, 2)` true landmarks in px."""
    camera = _Camera(film, width, height)
    for frame, time in enumerate(film.times):
        face = film.face(float(time))
        yield camera.take(face, film.head.view(film.patient.view, frame), frame)


class _Camera:
    """What stays from frame to frame: the room, and the head as long as the face is the same."""

    def __init__(self, film: Film, width: int, height: int) -> None:
        self.patient, self.width, self.height = film.patient, width, height
        patient, size = film.patient, (width, height)
        self.home = Projection.of(patient.view, *size)
        rest = film.face(0.0, acts=())
        self.head = self._draw(rest)
        self.drawn = rest
        self.room = paint_surroundings(
            self.home.body(*size), patient.shape, patient.look, patient.view,
            self.head.seen(self.home, *size)[..., 3],
        )  # fmt: skip

    def take(
        self, face: Expression, view: View, frame: int
    ) -> tuple[NDArray[np.uint8], FloatArray]:
        if not np.array_equal(face.contraction, self.drawn.contraction):
            self.head, self.drawn = self._draw(face), face
        projection = Projection.of(view, self.width, self.height)
        seen = self.head.seen(projection, self.width, self.height)
        rng = np.random.default_rng([self.patient.seed, 21, frame])
        rgb = develop(self._room(projection, view), seen, view, rng)
        return rgb, self.head.points(projection)

    def _draw(self, face: Expression) -> DrawnHead:
        patient = self.patient
        return draw_head(patient.shape, patient.look, face, patient.view, scale=self.home.scale)

    def _room(self, projection: Projection, view: View) -> Image:
        """The room as seen when the camera, and not the head, has shifted or come nearer."""
        nearer = view.distance / self.patient.view.distance
        shift = projection.centre - nearer * self.home.centre
        moved = np.column_stack([nearer * np.eye(2), shift])
        room = cv2.warpAffine(
            self.room, moved, (self.width, self.height), borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(room, np.float32)
