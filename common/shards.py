"""Shards: a cohort dealt to many machines, each photograph to exactly one of them.

`--shard 3/20` does the third of twenty parts. Which part a photograph belongs to follows from its
`image_id` alone (or from its patient, where a patient is answered as a whole), so that neither the
order of the photographs, nor the machine, nor a photograph that is added later moves any other.
Each shard has a folder of its own with its own journal and tables, and in it `shard.json`: which
photographs belong there, and what was asked for, so that `merge` can name the command that makes
what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from common.errors import UserError
from common.files import write_json
from common.provenance import plain

SHARD_FILE = "shard.json"
PROGRAM = "python run_pipeline.py"
_TEXT = re.compile(r"(\d+)/(\d+)")


class EmptyShardError(Exception):
    """None of the photographs belong to this part, which is as good as done."""


@dataclass(frozen=True)
class Shard:
    """One of several parts: part `number`, from 1, of `of`.

    Photographs are dealt `by` their own name, or by that of their patient.
    """

    number: int
    of: int
    by: Literal["image_id", "patient_id"] = "image_id"

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UserError(
                f"--shard is {self}: give a part and the number of parts, 1/{max(self.of, 1)} to "
                f"{max(self.of, 1)}/{max(self.of, 1)}."
            )

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read `3/20`; UserError when it is no such part."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UserError(f'--shard is "{text}": give a part and the number of parts, as 3/20.')
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """The shard's folder, in natural order and of one length: `shard-03-of-20`."""
        return f"shard-{self.number:0{len(str(self.of))}d}-of-{self.of}"

    def folder(self, out: Path) -> Path:
        """Return where the shard of a run with this `--out` goes; inside the shard it stays."""
        return out if self.name in out.parts else out / self.name

    def holds(self, key: str) -> bool:
        """Return whether what has this name belongs to this part."""
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest[:8]) % self.of + 1 == self.number


ShardOption = Annotated[
    Shard | None,
    Parameter(converter=lambda _, to: Shard.read(to[0].value), n_tokens=1, accepts_keys=False),
]
"""Type of the option `shard` of every command whose work can be dealt to many machines."""


@dataclass(frozen=True)
class ShardRecord:
    """`shard.json`: what was asked for, and which photographs belong there.

    `given` are the command's arguments but for the shard and defaults, the file first; `images` the
    `image_id` of this part in the order of the source; `total` and `sha256` those of all parts
    (`names_sha256`).
    """

    shard: str
    command: str
    given: Mapping[str, Any]
    images: Sequence[str]
    total: int
    sha256: str
    folder: Path = field(default=Path(), compare=False)

    @property
    def part(self) -> Shard:
        """Which part it is."""
        return Shard.read(self.shard)

    def command_line(self, numbers: Sequence[int]) -> str:
        """Return what to type to make these parts, as this one was made."""
        source, *options = self.given.items()
        words = [*self.command.split(), str(source[1])]
        for name, value in options:
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                values = value if isinstance(value, list) else [value]
                words += [f"--{option}", *map(str, values)]
        line = f"{PROGRAM} {shlex.join(words)} --shard "
        of = self.part.of
        if len(numbers) == 1:
            return f"{line}{numbers[0]}/{of}"
        return f"for i in {' '.join(map(str, numbers))}; do {line}$i/{of}; done"

    @classmethod
    def read(cls, folder: Path) -> ShardRecord:
        """Read the record of a shard's folder; UserError when it is damaged."""
        path = folder / SHARD_FILE
        try:
            record = cls(**json.loads(path.read_text(encoding="utf-8")), folder=folder)
            if not record.given or set(map(type, record.images)) - {str}:
                raise ValueError("no arguments or names")
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error}): run the command of that shard again."
            ) from error
        return record


def dealt(
    keys: Mapping[str, str],
    shard: Shard,
    *,
    out: Path,
    command: str,
    call: Callable[..., Any],
    given: Mapping[str, Any],
) -> frozenset[str]:
    """Return which photographs belong to a shard, and keep in its folder what it is.

    `keys` hold for every `image_id` of the source what it is dealt by: itself, or its patient;
    `command`, `call` and `given` are the command's name, function and arguments. Inside a shard's
    folder, where one command does the work of another, nothing is kept. EmptyShardError when no
    photograph belongs there.
    """
    images = [image_id for image_id, key in keys.items() if shard.holds(key)]
    if out.name == shard.name:
        record = ShardRecord(
            shard=str(shard),
            command=command,
            given=_not_default(call, given),
            images=images,
            total=len(keys),
            sha256=names_sha256(keys),
        )
        content = {name: value for name, value in asdict(record).items() if name != "folder"}
        write_json(out / SHARD_FILE, content)
    if not images:
        raise EmptyShardError(f"None of the {len(keys)} in the source belong to shard {shard}.")
    return frozenset(images)


def names_sha256(names: Iterable[str]) -> str:
    """Return a checksum of names that does not depend on their order."""
    return hashlib.sha256("\0".join(sorted(names)).encode()).hexdigest()


def _not_default(call: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not the command's defaults, plain, without the shard."""
    return {
        name: plain(given[name])
        for name, parameter in signature(call).parameters.items()
        if name != "shard" and given[name] != parameter.default
    }
