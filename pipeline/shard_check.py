"""Are these the shards of one run, all of them, and made alike? A refusal names the command to run.

Comes from the folders of shards (`common.shards`) and their `run.json`; whether their tables are
whole is seen when `merge` joins them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import natural_key
from common.provenance import RUN_FILE, TALLIES, read_run_record
from common.shards import PROGRAM, SHARD_FILE, ShardRecord, names_sha256
from common.words import counted

_OF_THE_MACHINE = ("jobs", "scheduler", "shard")  # settings that change no number


def find_shards(folders: Sequence[Path]) -> list[ShardRecord]:
    """Return the shards that are, or lie in, these folders, in the order of their numbers.

    UserError when a folder holds none, or its record is damaged.
    """
    found: dict[Path, ShardRecord] = {}
    for folder in folders:
        inside = sorted(folder.glob(f"*/{SHARD_FILE}"), key=lambda path: natural_key(str(path)))
        paths = [folder / SHARD_FILE] if (folder / SHARD_FILE).is_file() else inside
        if not paths:
            raise UserError(
                f"{folder} holds no shards: give the folder that was the --out of a command with "
                "--shard."
            )
        found |= {path.parent.resolve(): ShardRecord.read(path.parent) for path in paths}
    return sorted(found.values(), key=lambda one: one.part.number)


def refuse_incomplete(shards: Sequence[ShardRecord], *, inside: Sequence[str]) -> None:
    """Refuse shards of several runs or dealings, one that is there twice, and missing ones.

    `inside` are the folders of a shard that have a `run.json` when it is finished; the sentence
    names the command that mends the first problem.
    """
    first = shards[0]
    for one in shards:
        if one.command != first.command:
            raise UserError(
                f"{first.folder} was made by {first.command} and {one.folder} by {one.command}: "
                f"give those of one command, as with `{PROGRAM} merge {first.folder}`."
            )
        if one.part.of != first.part.of:
            raise UserError(
                f"{first.folder} is shard {first.shard} and {one.folder} is shard {one.shard}, "
                "parts of two different dealings: give those of one, as with "
                f"`{PROGRAM} merge {one.folder.parent}/shard-*-of-{one.part.of}`."
            )
    for one, other in pairwise(shards):
        if one.part == other.part:
            raise UserError(
                f"{one.folder} and {other.folder} are both shard {one.shard}, so that its "
                f"{counted(len(one.images), 'image')} would occur twice: give one of them, as with "
                f"`{PROGRAM} merge {one.folder.parent}`."
            )
    newest = max(shards, key=lambda one: (one.folder / SHARD_FILE).stat().st_mtime_ns)
    of_another = [one.part.number for one in shards if one.sha256 != newest.sha256]
    if of_another:
        raise UserError(
            f"The source has changed between the shards: {newest.folder} was dealt from "
            f"{newest.total} images and {_named(of_another, first.part.of)} from others; make "
            f"those again, what is measured stays: `{newest.command_line(of_another)}`."
        )
    ready = {
        one.part.number: one
        for one in shards
        if not one.images or all((one.folder / name / RUN_FILE).is_file() for name in inside)
    }
    missing = [number for number in range(1, first.part.of + 1) if number not in ready]
    if missing:
        images = first.total - sum(len(one.images) for one in ready.values())
        raise UserError(
            f"{counted(images, 'image')} of {first.total} are missing, those of "
            f"{_named(missing, first.part.of)}: `{newest.command_line(missing)}`."
        )
    names = [image_id for one in shards for image_id in one.images]
    if len(names) != first.total or names_sha256(names) != first.sha256:
        raise UserError(
            f"The images that {SHARD_FILE} lists in the shards are not those of the source: make "
            f"all again: `{first.command_line(range(1, first.part.of + 1))}`."
        )


def refuse_unlike(
    shards: Sequence[ShardRecord], records: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the joined record of runs that agree in all that can change a number.

    Counts and times of the shards' `run.json` are added up; the settings of the machine are those
    of the first. UserError names the first shard made with other settings, seed, versions, models
    or tables.
    """
    said = [dict(_facts(record)) for record in records]
    for name in dict.fromkeys(name for facts in said for name in facts):
        values = [json.dumps(facts.get(name), sort_keys=True) for facts in said]
        usual, often = Counter(values).most_common(1)[0]
        if often < len(values):
            odd = next(at for at, value in enumerate(values) if value != usual)
            like = shards[values.index(usual)]
            others = "the others" if len(values) > 2 else str(like.folder)
            raise UserError(
                f"{shards[odd].folder} was made with {name} {_short(values[odd])} and {others} "
                f"with {_short(usual)}: make it again as {others}, "
                f"`{like.command_line([shards[odd].part.number])}`."
            )
    first = records[0]
    notes = {
        name: sum(record["notes"][name] for record in records) if name in TALLIES else value
        for name, value in first["notes"].items()
    }
    return first | {
        "settings": first["settings"] | {"shard": None},
        "counts": _sums([record["counts"] for record in records]),
        "seconds": {
            name: round(value, 3)
            for name, value in _sums([record["seconds"] for record in records]).items()
        },
        "notes": notes,
    }


def read_records(shards: Sequence[ShardRecord], *, inside: str = "") -> list[dict[str, Any]]:
    """Return the `run.json` of every shard, or of a folder inside it."""
    return [read_run_record(one.folder / inside) or {} for one in shards]


def _facts(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield by name what two records must agree in."""
    yield "command", record["command"]
    yield "seed", record["seed"]
    yield from record["versions"].items()
    for role, file in record["files"].items():
        yield f"{role} of SHA-256", file["sha256"]
    for name, value in record["settings"].items():
        if name not in _OF_THE_MACHINE:
            yield f"setting {name}", value
    for name, value in record["notes"].items():
        if name not in TALLIES:
            yield name, value


def _sums(tallies: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in tallies for name in one)
    return {name: sum(one.get(name, 0) for one in tallies) for name in names}


def _named(numbers: Sequence[int], of: int) -> str:
    """Return `shard 3/20`, or `shards 3, 7 and 12 of 20`."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}/{of}"
    *some, last = map(str, numbers)
    return f"shards {', '.join(some)} and {last} of {of}"


def _short(value: str) -> str:
    """Return a value as a sentence can hold it: a checksum by its first digits."""
    bare = value.strip('"')
    if bare == "null":
        return "none"
    return f"{bare[:12]}…" if len(bare) == 64 else bare
