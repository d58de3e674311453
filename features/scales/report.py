"""The report of `scales`: everybody's zones and composites, what is not measured, and each face."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.figures import GREY, INK, LINE, SOFT, VERMILION, calm
from common.report import Link, Report, Section, Share
from common.tables import ROMAN
from common.words import counted
from features.frames import FloatArray
from features.scales.registry import ITEMS, MEASURE_NAMED, SIDE_MEASURES, ZONES
from features.scales.scores import ZONE_COLUMNS, Scored
from features.scales.sides import OK, SIDES
from features.scales.thresholds import table
from landmarks.overlay import OUTLINES
from landmarks.points import MIRROR_PARTNER

SHOWN = 60  # pages of single readings
_ZONE_OUTLINES: dict[str, tuple[int, ...]] = {  # of the patient's right
    "brow": (17, 18, 19, 20, 21, 39, 36),
    "eye": (36, 37, 38, 39, 40, 41),
    "midface": (41, 40, 31, 48, 3, 1),
    "mouth": (48, 49, 50, 51, 57, 58, 59),
}
_WEAK = mpl.colormaps["OrRd"]
NOT_A_GRADE = (
    "These are measurements shaped like the items of two scales. No clinician has scored them, and "
    "no House-Brackmann grade follows from them."
)


def scales_report(scored: Scored, *, redact: bool = False) -> Report:
    """Build the report; `redact` puts numbers in place of the patients' names."""
    rows = scored.scales
    names = list(dict.fromkeys(rows["patient_id"]))
    report = Report(
        title="Sunnybrook-style and eFACE-style measures",
        summary=f"{counted(len(names), 'patient')}, weak side against the other side, "
        f"{scored.about_bins()} {NOT_A_GRADE}",
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
    def rounded(value: float) -> str:
        return "–" if np.isnan(value) else f"{value:.0f}".replace("-", "−")

    low, high = (rounded(row[f"sunnybrook_style_reachable_{end}"]) for end in ("low", "high"))
    composite = rounded(row["sunnybrook_style_composite"])
    return {
        "Patient": name,
        "Weak side": row["weak_side"] if row["side"] in SIDES else f"{row['side']}: both ways",
        **{
            zone.capitalize(): None if np.isnan(row[column]) else Share(row[column])
            for zone, column in zip(ZONES, ZONE_COLUMNS, strict=True)
        },
        "Sunnybrook-style": f"{composite}\nreaches {low} to {high}" if composite != "–" else None,
        "% of reach": rounded(row["sunnybrook_style_percent_of_reach"]),
        "eFACE-style": rounded(row["eface_style_total"]),
        "Status": row["status"],
    }


def _about_items(report: Report, scored: Scored) -> None:
    """Say what is not measured, and where items begin."""
    section = report.section("What points cannot see, and where items begin")
    section.text(
        "Not measured, and never counted as 0: "
        + "; ".join(
            f"{item.title} ({item.scale} style, {item.part}): "
            + (item.why_not or "none of the eight standard movements is a snarl")
            for item in ITEMS
            if not item.is_standard
        )
        + ".",
        "Rest without the fold takes at most 10 of 20 points, voluntary movement without the snarl "
        "gives 16 to 80 of 20 to 100, synkinesis without the snarl takes at most 12 of 15.",
    )
    cuts = scored.bins.cuts
    section.table(
        (
            {
                "Measure": entry.title,
                "Items begin at": ", ".join(
                    f"{value:.2f}".replace("-", "−")
                    for value in np.nanmedian(cuts[entry.name], axis=0)
                ),
                "Healthy people behind it": int(np.max(scored.bins.healthy[entry.name]))
                if scored.bins.healthy
                else None,
            }
            for entry in SIDE_MEASURES
            if entry.name in cuts and np.isfinite(cuts[entry.name]).any(axis=0).all()
        ),
        caption=f"{scored.bins.title}: {scored.bins.source} At rest the lower and upper limit of "
        "what is normal; of a movement the shares from which it is 2, 3, 4 and 5; of synkinesis "
        "the excesses from which it is 1, 2 and 3.",
    )


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


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
            "Here": f"{own.mean():.1f} ± {own.std():.1f}" if len(own) > 1 else None,
            "Healthy people here": len(own),
        }


def _page(page: Section, scored: Scored, at: int) -> None:
    row = scored.scales.loc[at]
    page.links([Link("all patients", "#section-1")])
    if not pd.isna(row["reason"]):
        page.text(f"Not everything could be measured: {row['reason']}.")
    page.figure(
        _portrait(scored, at),
        alt=f"The face at rest with the zones of the {row['weak_side']} side, and how far that "
        "side moves in each movement.",
        caption="Drawn from the points at rest, seen as in a photograph: the patient's right is on "
        "the left. The bars say how far the weak side moves, in percent of the other.",
    )
    key = ["patient_id", "weak_side"] + (["visit"] if "visit" in scored.items else [])
    own = scored.items.iloc[at * len(ITEMS) : (at + 1) * len(ITEMS)]
    assert (own[key].astype(str) == row[key].astype(str)).all(axis=None)
    for scale, words in (("sunnybrook", "Sunnybrook-style"), ("eface", "eFACE-style")):
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


def _portrait(scored: Scored, at: int) -> Figure:
    """Draw the face with its weak zones, beside the movements of the weak side."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    face, bars = figure.subplots(1, 2, width_ratios=(1, 1.5))
    row = scored.scales.loc[at]
    _face(face, scored.readings.rest[at], row)
    entries = [e for e in SIDE_MEASURES if e.kind == "movement" and e.name in MEASURE_NAMED]
    entries = [e for e in entries if e.name != "snarl" or not np.isnan(row[e.column])]
    for place, entry in enumerate(reversed(entries)):
        share = float(row[entry.column])
        bars.barh(place, 1.0, color=LINE, height=0.62)
        if np.isnan(share):
            bars.text(0.02, place, "not measured", va="center", fontsize=8, color=SOFT)
            continue
        colour = _WEAK(0.25 + 0.6 * np.clip(1 - share, 0, 1))
        bars.barh(place, np.clip(share, 0, 1.25), color=colour, height=0.62)
        words, beside = f"{100 * share:.0f} %".replace("-", "−"), min(max(share, 0) + 0.02, 1.1)
        bars.text(beside, place, words, va="center", fontsize=8, color=INK)
        limit = np.broadcast_to(scored.bins.cuts[entry.name], (len(scored.scales), 4))[at, -1]
        bars.plot([limit, limit], [place - 0.31, place + 0.31], color=INK, linewidth=1.2)
    bars.set_yticks(range(len(entries)), [e.title for e in reversed(entries)])
    bars.set_xticks([0, 0.5, 1.0], ["0", "50", "100 % of the other side"])
    bars.set_xlim(0, 1.25)
    bars.set_title("Movement of the weak side; the line is where “complete” begins", fontsize=8)
    calm(bars, grid=False)
    return figure


def _face(axes: Axes, points: FloatArray, row: pd.Series) -> None:
    axes.set_aspect("equal")
    axes.axis("off")
    axes.invert_yaxis()
    if not np.isfinite(points).all():
        axes.text(0.5, 0.5, "no photograph at rest", ha="center", transform=axes.transAxes)
        return
    weak = row["weak_side"]
    for zone, column in zip(ZONES, ZONE_COLUMNS, strict=True):
        value = float(row[column])
        outline = [i if weak == "right" else MIRROR_PARTNER[i] for i in _ZONE_OUTLINES[zone]]
        place = points[outline]
        axes.fill(
            *place.T, color="none" if np.isnan(value) else _WEAK(0.1 + 0.75 * value), linewidth=0,
            hatch="..." if np.isnan(value) else None, edgecolor=GREY,
        )  # fmt: skip
        edge = points[:, 0].min() - 0.08 if weak == "right" else points[:, 0].max() + 0.08
        words = "not measured" if np.isnan(value) else f"{100 * value:.0f} %"
        axes.text(
            edge, place[:, 1].mean(), f"{zone}\n{words}", va="center", fontsize=8, color=INK,
            ha="right" if weak == "right" else "left",
        )  # fmt: skip
    for a, b in OUTLINES:
        axes.plot(*points[[a, b]].T, color=SOFT, linewidth=1.0)
    axes.set_title(f"How weak each zone is ({weak} side)", fontsize=8)


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
