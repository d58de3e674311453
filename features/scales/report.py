"""The report of `scales`: everybody's zones and composites, what is not measured, and each face."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.figures import VERMILION, calm
from common.report import Link, Report, Section, Share, image_picture
from common.tables import ROMAN
from common.words import counted, decimals
from features.frames import FloatArray
from features.scales.registry import ITEMS, MEASURE_NAMED, SIDE_MEASURES, SNARL, ZONES
from features.scales.scores import ZONE_COLUMNS, Scored
from features.scales.sides import OK, SIDES
from features.scales.thresholds import table
from landmarks.overlay import OUTLINES
from landmarks.points import MIRROR_PARTNER
from landmarks.tables import PointsSource

SHOWN = 200  # pages of single readings
_FACE = 640  # px of the drawn face, shown at half the size
_ZONE_OUTLINES: dict[str, tuple[int, ...]] = {  # of the patient's right
    "brow": (17, 18, 19, 20, 21, 39, 36),
    "eye": (36, 37, 38, 39, 40, 41),
    "midface": (41, 40, 31, 48, 3, 1),
    "mouth": (48, 49, 50, 51, 57, 58, 59),
}
_SPOKEN = {"sunnybrook": "Sunnybrook-style", "eface": "eFACE-style"}
_WEAK = mpl.colormaps["OrRd"]
NOT_A_GRADE = (
    "These are measurements shaped like the items of two scales. No clinician has scored them, and "
    "no House-Brackmann grade follows from them."
)


def scales_report(scored: Scored, *, source: PointsSource, redact: bool = False) -> Report:
    """Build the report; `redact` puts numbers in place of the patients' names.

    `source` says how many photographs have corrected points.
    """
    rows = scored.scales
    names = list(dict.fromkeys(rows["patient_id"]))
    report = Report(
        title="Sunnybrook-style and eFACE-style measures",
        summary=source.added_to(
            f"{counted(len(names), 'patient')}, weak side against the other side, "
            f"{scored.about_bins()} {NOT_A_GRADE}"
        ),
    )
    _warn(report, scored)
    called = {name: f"Patient {at}" if redact else str(name) for at, name in enumerate(names, 1)}
    order = rows["sunnybrook_style_percent_of_reach"].sort_values(kind="stable").index[:SHOWN]
    links = {at: Link(_title(rows.loc[at], called), f"#reading-{at}") for at in order}
    section = report.section("Patients")
    section.text(
        "How weak each zone is, in percent: 0 moves as far as the other side, 100 not at all. The "
        "Sunnybrook-style composite is 4 · voluntary − 5 · rest − synkinesis over what was "
        "measured, with the range that this sum can reach; beside it its place in that range. The "
        "eFACE-style total is 100 for a symmetric face.",
        "Patients whose weak side is not known are read both ways, healthy people too."
        if rows["patient_id"].duplicated().any() and (~rows["side"].isin(SIDES)).any()
        else "",
    )
    section.table(
        _row(rows.loc[at], links.get(at, _title(rows.loc[at], called))) for at in rows.index
    )
    if "hb_grade" in rows and rows["hb_grade"].notna().any():
        section.figure(
            _by_grade(rows),
            alt="Weakness of brow, eye, midface and mouth by House-Brackmann grade.",
            caption="Weakness of each zone by the grade that the table gives; a dot is a reading.",
        )
    _about_items(report, scored)
    _norms(report, scored)
    if len(rows) > SHOWN:
        section.text(
            f"The {SHOWN} readings with the lowest composites have a page; scales.csv has all."
        )
    for at in sorted(order):
        page = report.section(
            _title(rows.loc[at], called), one_of_many=True, folded=True, anchor=f"reading-{at}"
        )
        _page(page, scored, at)
    return report


def _warn(report: Report, scored: Scored) -> None:
    rows, few = scored.readings.rows, table()["cohort"]["few"]
    if not scored.bins.healthy:
        report.warn(
            f"The thresholds are a published set ({scored.bins.source.rstrip('.')}). Published "
            "sets contradict each other; the same patient scores otherwise with another one."
        )
    elif rows.loc[rows["healthy"], "patient_id"].nunique() < few:
        report.warn(
            f"Fewer than {few} healthy people stand behind the thresholds: they are drawn wide, "
            "and would move with other people."
        )
    unknown = rows.loc[~rows["side"].isin((*SIDES, "none")), "patient_id"].nunique()
    if unknown:
        report.warn(
            f"The weak side of {counted(unknown, 'patient')} is not known: both readings are "
            "given, and neither is chosen."
        )


def _title(row: pd.Series, called: dict[str, str]) -> str:
    visit = row.get("visit")
    words = called[row["patient_id"]] + ("" if pd.isna(visit) else f", visit {visit}")
    return words if row["side"] in SIDES else f"{words}, if {row['weak_side']} were weak"


def _row(row: pd.Series, name: Link | str) -> dict[str, object]:
    low, high = (decimals(row[f"sunnybrook_style_reachable_{end}"]) for end in ("low", "high"))
    composite = decimals(row["sunnybrook_style_composite"])
    return {
        "Patient": name,
        "Weak side": row["side"],
        **{
            zone.capitalize(): None if np.isnan(row[column]) else Share(row[column])
            for zone, column in zip(ZONES, ZONE_COLUMNS, strict=True)
        },
        "Sunnybrook-style": composite,
        "Reaches": f"{low} to {high}" if composite != "–" else None,
        "% of reach": decimals(row["sunnybrook_style_percent_of_reach"]),
        "eFACE-style": decimals(row["eface_style_total"]),
        "Status": row["status"],
    }


def _about_items(report: Report, scored: Scored) -> None:
    """Say what is not measured, and where items begin."""
    section = report.section("What points cannot see, and where items begin")
    section.table(
        {
            "Scale": _SPOKEN[item.scale],
            "Part": item.part,
            "Item": item.title,
            "Not measured, and never counted as 0, because": item.why_not
            or "none of the eight standard movements is a snarl",
        }
        for item in ITEMS
        if not item.is_standard
    )
    section.text(
        "Rest without the fold takes at most 10 of 20 points, voluntary movement without the snarl "
        "gives 16 to 80 of 20 to 100, synkinesis without the snarl takes at most 12 of 15."
    )
    cuts = scored.bins.cuts
    used = {name for item in ITEMS if item.scale == "sunnybrook" for name in item.measures}
    section.table(
        (
            {
                "Measure": entry.title,
                "Items begin at": ", ".join(
                    decimals(value, 2) for value in np.nanmedian(cuts[entry.name], axis=0)
                ),
                "Healthy people behind it": int(np.max(scored.bins.healthy[entry.name]))
                if scored.bins.healthy
                else None,
            }
            for entry in SIDE_MEASURES
            if entry.name in used and np.isfinite(cuts[entry.name]).any(axis=0).all()
        ),
        caption=f"{scored.bins.title}: {scored.bins.source} At rest the lower and upper limit of "
        "what is normal; of a movement the shares from which it is 2, 3, 4 and 5; of synkinesis "
        "the excesses from which it is 1, 2 and 3.",
    )


def _norms(report: Report, scored: Scored) -> None:
    section = report.section("Healthy people: published, and here")
    section.table(
        _norm_rows(scored),
        caption="Mean ± standard deviation of the healthy people of this table, beside what is "
        "published of others, measured in other ways. Millimetres only where the photographs have "
        "a scale.",
    )


def _norm_rows(scored: Scored) -> Iterator[dict[str, object]]:
    readings = scored.readings
    healthy = readings.rows["healthy"].to_numpy(dtype=bool)
    mm = readings.rows["eye_distance_mm"].to_numpy(dtype=np.float64) / 100
    for norm in table()["norms"]:
        name, of = norm["measure"], norm["of"]
        if of == "total":
            what = f"{name.replace('eface', 'eFACE').replace('sunny', 'Sunny')}"
            column = {"sunnybrook": "percent_of_reach", "eface": "total"}[name]
            found = scored.scales[f"{name}_style_{column}"].to_numpy()
            what += " (here: -style, % of reach)" if name == "sunnybrook" else " (here: -style)"
        else:
            entry, amounts = MEASURE_NAMED[name], readings.amounts[name]
            factor = mm if norm["unit"] == "mm" else 100.0
            what = f"{entry.title}, {norm['unit']}"
            found = amounts.mean(axis=1) * factor
            if of == "likeness":
                what = f"{entry.title}: smaller side, % of the larger"
                found = 100 * amounts.min(axis=1) / amounts.max(axis=1)
            found = np.where(readings.status[name] == OK, found, np.nan)
        own = pd.Series(found)[healthy].groupby(readings.rows.loc[healthy, "patient_id"]).mean()
        own = own.dropna()
        yield {
            "What": what,
            "Published": f"{norm['normal']}\n{norm['source']}",
            "Here": f"{decimals(own.mean(), 1)} ± {own.std():.1f}" if len(own) > 1 else None,
            "Healthy people here": len(own),
        }


def _page(page: Section, scored: Scored, at: int) -> None:
    row = scored.scales.iloc[at]
    page.links([Link("all patients", "#section-1")])
    if not pd.isna(row["reason"]):
        page.text(f"Not everything could be measured: {row['reason']}.")
    face = _face(scored.readings.rest[at], row)
    if face is not None:
        words = (
            f"How weak each zone of the {row['weak_side']} side is, on the points at rest, seen as "
            "in a photograph: the patient's right is on the left."
        )
        page.gallery([image_picture(face, alt=words, caption=words, width=_FACE // 2)])
    page.table(_movements(scored, at), caption="How far each side moves from rest.", digits=1)
    own = scored.items.iloc[at * len(ITEMS) : (at + 1) * len(ITEMS)]
    for scale, words in _SPOKEN.items():
        page.table(
            (
                {
                    "Part": item["part"],
                    "Item": item["title"],
                    "Measured": item["value"],
                    "Score": None if np.isnan(item["score"]) else f"{item['score']:.0f}",
                    "Not scored because": "" if item["status"] == OK else item["reason"],
                }
                for item in own[own["scale"] == scale].to_dict("records")
            ),
            caption=f"{words} items. Measured: weak divided by other, or weak minus other.",
        )


def _face(points: FloatArray, row: pd.Series) -> NDArray[np.uint8] | None:
    """Draw the face at rest with the zones of the weak side; None without a photograph of it."""
    if not np.isfinite(points).all():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    size = 0.62 * _FACE / float((high - low).max())
    middle = np.array([_FACE / 2, _FACE / 2])
    shown = (points - (low + high) / 2) * size + middle
    canvas = np.full((_FACE, _FACE, 3), 255, dtype=np.uint8)
    right = row["weak_side"] == "right"
    zones = [
        (shown[[i if right else MIRROR_PARTNER[i] for i in _ZONE_OUTLINES[zone]]], float(row[name]))
        for zone, name in zip(ZONES, ZONE_COLUMNS, strict=True)
    ]
    for outline, value in zones:
        if not np.isnan(value):
            colour = [round(255 * part) for part in _WEAK(0.1 + 0.75 * value)[:3]]
            cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    for a, b in OUTLINES:
        start, end = ([round(16 * part) for part in place] for place in shown[[a, b]])
        cv2.line(canvas, start, end, (91, 104, 117), 2, cv2.LINE_AA, 4)
    height = 0.0
    for zone, (outline, value) in zip(ZONES, zones, strict=True):
        height = max(height + 66, outline[:, 1].mean() - 30)  # labels stay apart
        for line, words in enumerate((zone, "?" if np.isnan(value) else f"{100 * value:.0f} %")):
            (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.75, 2)
            edge = shown[:, 0].min() - 18 - width if right else shown[:, 0].max() + 18
            at = (round(edge), round(height) + 28 * line)
            cv2.putText(
                canvas, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.75, (29, 39, 51), 2, cv2.LINE_AA
            )
    return canvas[_FACE // 10 : -_FACE // 10]


def _movements(scored: Scored, at: int) -> Iterator[dict[str, object]]:
    """Right, left and their comparison in every movement of one reading."""
    row = scored.scales.iloc[at].to_dict()
    for entry in SIDE_MEASURES:
        value = float(row[entry.column])
        if entry.kind != "movement" or (entry.name == SNARL and np.isnan(value)):
            continue
        factor = 100 if entry.unit == "share" else 1
        cuts = scored.bins.cuts[entry.name]
        yield {
            "Movement": entry.title,
            "Right": factor * row[f"{entry.name}_right"],
            "Left": factor * row[f"{entry.name}_left"],
            "Unit": "% of the opening" if factor > 1 else entry.unit,
            "Weak side, % of the other": None if np.isnan(value) else Share(np.clip(value, 0, 1)),
            "Complete from": f"{100 * np.broadcast_to(cuts[:, -1], len(scored.scales))[at]:.0f} %",
        }


def _by_grade(rows: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    panels = figure.subplots(1, len(ZONES), sharey=True)
    rng = np.random.default_rng(0)
    grades = rows["hb_grade"].astype("Float64").to_numpy(np.float64, na_value=np.nan)
    for axes, zone, column in zip(panels, ZONES, ZONE_COLUMNS, strict=True):
        axes.scatter(
            grades + rng.uniform(-0.16, 0.16, len(rows)), 100 * rows[column], s=14, alpha=0.6,
            color=VERMILION,
        )  # fmt: skip
        axes.set_title(zone.capitalize(), fontsize=9)
        axes.set_xticks(range(1, 7), ROMAN)
        axes.set_xlim(0.5, 6.5)
        axes.set_ylim(-5, 105)
        calm(axes)
    panels[0].set_ylabel("weakness, %", fontsize=8)
    return figure
