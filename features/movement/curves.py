"""The curves of one film: signals of both sides over even times, smoothed, and where rest is.

Lengths here are nominal mm: the outer corners of the eyes of every face are 90 mm apart, so that
one rule serves films with and without a scale. Tables get the film's own mm, or percent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import grey_closing, label, maximum, maximum_filter1d, minimum_filter1d
from scipy.signal import butter, sosfiltfilt

from features.frames import FloatArray
from features.measures import MEASURES, SIDES
from features.movement.head import (
    ENOUGH,
    MAX_TURN_DEG,
    OUTER_EYE_MM,
    depths_of,
    face_at_rest,
    with_still_head,
)
from features.movement.tables import MM, PERCENT, SIGNALS
from landmarks.tables import points_of

LID = SIGNALS.index("palpebral_fissure_height")
BROW = SIGNALS.index("brow_height")
CORNER, CORNER_UP, CORNER_OUT = (
    SIGNALS.index(name)
    for name in ("commissure_displacement", "commissure_height", "half_mouth_width")
)

CUT_OFF_HZ, LID_CUT_OFF_HZ = 5.0, 10.0
"""Butterworth low-pass of second order, run forwards and backwards. The lids keep more: a blink
closes in a tenth of a second."""
LONGEST_STEP_S = 0.25  # between two frames; a longer one is a gap
LONGEST_BLINK_S, SHALLOWEST_BLINK = 0.8, 0.2
USUAL_TURN_DEG = 2.0
REST_MM, QUIET_MM, QUIET_S = 2.0, 1.5, 0.3
_CANDIDATES = 200
_AT_ONCE = 20_000  # frames in memory
_RATE_OF_REST_HZ = 10


@dataclass(frozen=True)
class Curves:
    """Signals of one film at even times, and what became of its frames."""

    # seconds between two samples, time of the first
    step: float
    start: float
    values: FloatArray  # `(m, signals, 2)` nominal mm, right and left; NaN in gaps
    # the same as if nobody blinked: the fissures, and the rest drawn straight across blinks, in
    # which other muscles join in
    calm: FloatArray
    blinking: NDArray[np.bool_]  # `(m,)` whether an eye is in a blink
    rest: NDArray[np.bool_]  # `(m,)` whether the face is at rest
    # `(signals, 2)` medians at rest; `(1,)` of a film without a measured frame is NaN
    at_rest: FloatArray
    # of each frame
    frames: NDArray[np.int64]
    times: FloatArray
    status: NDArray[np.object_]
    reason: NDArray[np.object_]
    pose: FloatArray
    # nominal mm to the unit of the tables
    factor: float
    unit: str

    def time_of(self, sample: FloatArray | float) -> FloatArray:
        """Return the time of a sample, which may lie between two."""
        return np.asarray(self.start + np.asarray(sample, dtype=np.float64) * self.step)

    def at_frames(self) -> FloatArray:
        """Return the signals at the frames' own times, `(n, signals, 2)` nominal mm."""
        at = (self.times - self.start) / self.step
        out = np.full((len(at), *self.values.shape[1:]), np.nan)
        ok = self.status == "ok"
        low = np.clip(np.floor(at[ok] + 1e-6).astype(int), 0, len(self.values) - 1)
        high = np.minimum(low + 1, len(self.values) - 1)
        share = np.clip(at[ok] - low, 0, 1)[:, np.newaxis, np.newaxis]
        a, b = self.values[low], self.values[high]
        # At the ends of a gap only one of the neighbours is known.
        mixed = np.where(np.isnan(b), a, np.where(np.isnan(a), b, a * (1 - share) + b * share))
        out[ok] = mixed
        return out


def curves_of(film: pd.DataFrame, *, rest_times: list[tuple[float, float]] | None = None) -> Curves:
    """Measure one film.

    `film`: its rows of the landmark table, in the order of the frames.
    `rest_times`: seconds in which the face is known to be at rest; looked for where there are
    none.
    """
    points = points_of(film).copy()
    times = film["time_s"].to_numpy(dtype=np.float64)
    reason = np.full(len(film), None, dtype=object)
    if "reason" in film:
        reason[:] = film["reason"].astype(object).where(film["reason"].notna(), None)
    given = (film["status"] == "ok").to_numpy(dtype=bool)
    latest = np.fmax.accumulate(np.concatenate([[-np.inf], times[:-1]]))
    ok = given & (times > latest)
    reason[given & ~ok] = "Its time is missing or does not come after that of the frame before."
    points[~ok] = np.nan
    grid = _Grid.of(times, ok)
    _, pose, _ = _measured(points, rest=ok)
    rest_frames = _facing(pose, ok)
    for _ in range(2):  # the second time with the head as it is at rest
        raw, pose, scale = _measured(points, rest=rest_frames if rest_frames.any() else ok)
        turned = ok & (np.abs(pose[:, :2]).max(axis=1) > MAX_TURN_DEG)
        values = grid.smoothed(raw, ok & ~turned)
        rest = grid.within(rest_times) if rest_times else _at_rest(values, grid.step)
        rest_frames = _facing(pose, ok & ~turned & rest[grid.nearest(times)])
    ok &= ~turned
    reason[turned] = f"The head is turned or nodded by more than {MAX_TURN_DEG:g} degrees."
    at_rest = _median(values[rest])
    moved = values - at_rest
    values[:, CORNER] = np.hypot(moved[:, CORNER_OUT], moved[:, CORNER_UP])
    at_rest[CORNER] = 0.0

    opened = without_blinks(values[:, LID], grid.step)
    blinking = np.asarray((opened > values[:, LID]).any(axis=1))
    calm = _straight_across(blinking, values)
    calm[:, LID] = opened
    per_px = film["mm_per_px"] if "mm_per_px" in film else pd.Series(np.nan, index=film.index)
    eyes_mm = per_px.to_numpy(dtype=np.float64) * scale
    has_mm = bool(np.isfinite(eyes_mm).any())
    return Curves(
        step=grid.step,
        start=grid.start,
        values=values,
        calm=calm,
        blinking=blinking,
        rest=rest,
        at_rest=at_rest,
        frames=film["frame"].to_numpy(dtype=np.int64),
        times=times,
        status=np.where(given & ~ok, "failed", film["status"].to_numpy(dtype=object)),
        reason=reason,
        pose=np.where(ok[:, np.newaxis], pose, np.nan),
        factor=(float(np.nanmedian(eyes_mm)) if has_mm else 100.0) / OUTER_EYE_MM,
        unit=MM if has_mm else PERCENT,
    )


def _measured(
    points: FloatArray, *, rest: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return signals `(n, signals, 2)` in nominal mm (without the displacement), pose and scale."""
    n = len(points)
    values, pose, scale = (
        np.full((n, len(SIGNALS), 2), np.nan),
        np.full((n, 3), np.nan),
        np.zeros(n),
    )
    if not rest.any():
        return values, pose, scale * np.nan
    some = np.flatnonzero(rest)
    shape = face_at_rest(points[some[:: max(1, len(some) // ENOUGH)]])
    depths = depths_of(points, shape=shape)
    known = {entry.name: entry for entry in MEASURES}
    for first in range(0, n, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        still = with_still_head(points[part], shape=shape, depths=depths)
        for at, name in enumerate(SIGNALS):
            for column, side in enumerate(SIDES):
                if name in known:
                    values[part, at, column] = known[name].value(still.faces, side)
        values[part, CORNER_OUT] = np.abs(still.faces.points[:, [48, 54], 0])
        pose[part], scale[part] = still.pose, still.scale
    return values * OUTER_EYE_MM, pose, scale


def _facing(pose: FloatArray, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of some frames choose those whose head is turned as it usually is: a third, or within 2°."""
    if not among.any():
        return among
    away = np.linalg.norm(pose[:, :2] - np.nanmedian(pose[:, :2], axis=0), axis=1)
    near = max(USUAL_TURN_DEG, float(np.nanquantile(away[among], 1 / 3)))
    return among & (np.nan_to_num(away, nan=np.inf) <= near)


@dataclass(frozen=True)
class _Grid:
    """Even times over a film, as dense as its frames usually are."""

    start: float
    step: float
    size: int
    times: FloatArray

    @classmethod
    def of(cls, times: FloatArray, ok: NDArray[np.bool_]) -> _Grid:
        known = times[np.isfinite(times)]
        steps = np.diff(known)
        steps = steps[steps > 0]
        step = float(np.quantile(steps, 0.1)) if len(steps) else 1.0
        size = round((known[-1] - known[0]) / step) + 1 if len(known) else 1
        return cls(float(known[0]) if len(known) else 0.0, step, size, times)

    def nearest(self, times: FloatArray) -> NDArray[np.int64]:
        at = np.nan_to_num((times - self.start) / self.step)
        return np.clip(np.round(at).astype(np.int64), 0, self.size - 1)

    def within(self, spans: list[tuple[float, float]]) -> NDArray[np.bool_]:
        at = self.start + np.arange(self.size) * self.step
        inside = [(at >= first) & (at <= last) for first, last in spans]
        return np.asarray(np.any(inside, axis=0))

    def smoothed(self, values: FloatArray, ok: NDArray[np.bool_]) -> FloatArray:
        """Bring `(n, ...)` values to even times and smooth every stretch without a gap."""
        out = np.full((self.size, *values.shape[1:]), np.nan)
        good = ok & np.isfinite(self.times)
        place = np.flatnonzero(good)
        breaks = np.flatnonzero(
            (np.diff(self.times[place]) > max(LONGEST_STEP_S, 1.5 * self.step))
            | ((np.diff(place) > 1) & (np.diff(self.times[place]) > 1.5 * self.step))
        )
        for part in np.split(place, breaks + 1):
            if not len(part):
                continue
            first = int(np.ceil((self.times[part[0]] - self.start) / self.step - 1e-6))
            last = int(np.floor((self.times[part[-1]] - self.start) / self.step + 1e-6))
            at = self.start + np.arange(first, last + 1) * self.step
            flat = values[part].reshape(len(part), -1)
            even = np.stack([np.interp(at, self.times[part], column) for column in flat.T], axis=1)
            out[first : last + 1] = self._filtered(even.reshape(-1, *values.shape[1:]))
        return out

    def _filtered(self, even: FloatArray) -> FloatArray:
        """Low-pass `(m, signals, 2)` evenly timed values without a gap."""
        smooth = even.copy()
        rest = [at for at in range(even.shape[1]) if at != LID]
        for which, cut_off in (([LID], LID_CUT_OFF_HZ), (rest, CUT_OFF_HZ)):
            sections = butter(2, min(2 * cut_off * self.step, 0.8), output="sos")
            length = min(len(even) - 1, max(9, int(1 / (cut_off * self.step))))
            if length >= 1:
                smooth[:, which] = sosfiltfilt(sections, even[:, which], axis=0, padlen=length)
        return smooth


def without_blinks(fissure: FloatArray, step: float) -> FloatArray:
    """Return `(m, 2)` fissures in which valleys shorter than a long blink are filled.

    A morphological closing finds them; what is shallower than a fifth of the usual opening is no
    blink and stays. It runs along the crests of the noise, whose usual height is taken off again.
    """
    width = max(3, round(LONGEST_BLINK_S / step) | 1)
    opened = fissure.copy()
    for at, usual in enumerate(_median(fissure)):
        for stretch in stretches(np.isfinite(fissure[:, at])):
            lids = fissure[stretch, at]
            filled = grey_closing(lids, size=width, mode="nearest")
            filled -= np.median(filled - lids)
            valleys, count = label(filled - lids > 0.05 * usual)
            deepest = maximum(filled - lids, valleys, np.arange(count + 1))
            blinking = (valleys > 0) & (deepest[valleys] > SHALLOWEST_BLINK * usual)
            opened[stretch, at] = np.where(blinking, filled, lids)
    return opened


def _straight_across(moments: NDArray[np.bool_], values: FloatArray) -> FloatArray:
    """Draw `(m, signals, 2)` curves straight across some moments."""
    straight, kept = values.copy(), np.flatnonzero(~moments)
    if len(kept):
        for at in np.ndindex(values.shape[1:]):
            column = (slice(None), *at)
            known = values[column][kept]
            straight[column][moments] = np.interp(np.flatnonzero(moments), kept, known)
    return straight


def stretches(inside: NDArray[np.bool_]) -> list[slice]:
    """Return the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _at_rest(values: FloatArray, step: float) -> NDArray[np.bool_]:
    """Say which samples are at rest: in the quiet state that the face returns to most often.

    Two moments are of one state when no signal differs by 2 mm, blinks aside; the state is left
    when one differs by 3. Of states visited equally often the first seen is rest, since films
    begin with it.
    """
    states = values.copy()
    states[:, LID] = without_blinks(values[:, LID], step)
    states = np.delete(states, CORNER, axis=1).reshape(len(values), -1)
    every = max(1, round(1 / (_RATE_OF_REST_HZ * step)))
    few = states[::every]
    known = np.asarray(np.isfinite(few).all(axis=1))
    size = max(2, round(QUIET_S / (step * every)))
    filled = np.where(known[:, np.newaxis], few, np.inf)
    swing = maximum_filter1d(filled, size, axis=0) - minimum_filter1d(
        np.where(known[:, np.newaxis], few, -np.inf), size, axis=0
    )
    quiet = known & (swing.max(axis=1) <= QUIET_MM) if known.any() else known
    if not quiet.any():
        quiet = known
    candidates = np.flatnonzero(quiet)
    if not len(candidates):
        return np.zeros(len(values), dtype=bool)
    candidates = candidates[:: max(1, len(candidates) // _CANDIDATES)]
    best, winner = (-1, 0, 0), candidates[0]
    for candidate in candidates:
        away = np.abs(few - few[candidate]).max(axis=1)
        near = quiet & (away <= REST_MM)
        runs, _ = label(~(away > 1.5 * REST_MM))  # what is not known is no departure
        long_enough = np.bincount(runs[near], minlength=1)[1:] >= size
        found = (int(long_enough.sum()), -int(np.flatnonzero(near)[0]) // size, int(near.sum()))
        if found > best:
            best, winner = found, candidate
    away = np.abs(few - few[winner]).max(axis=1)
    centre = np.median(few[quiet & (away <= REST_MM)], axis=0)
    away = np.abs(states - centre).max(axis=1)
    rest = np.asarray(away <= REST_MM)
    return rest if rest.any() else np.abs(states - few[winner]).max(axis=1) <= REST_MM


def _median(values: FloatArray) -> FloatArray:
    """Median over the samples of what is known; NaN where nothing is."""
    shape = values.shape[1:]
    flat = pd.DataFrame(values.reshape(len(values), int(np.prod(shape)))).median()
    return flat.to_numpy(copy=True).reshape(shape)
