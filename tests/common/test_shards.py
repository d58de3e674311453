"""Which shard a photograph belongs to, and the command line that makes one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import run_pipeline
from common.errors import UserError
from common.shards import EmptyShardError, Shard, ShardOption, ShardRecord, dealt

NAMES = [f"P{patient}/img{number}.jpg" for patient in range(30) for number in range(8)]


@pytest.mark.parametrize("of", [1, 2, 7, 20])
def test_every_photograph_belongs_to_exactly_one_shard(of: int) -> None:
    shards = [Shard(number, of) for number in range(1, of + 1)]
    assert all(sum(shard.holds(name) for shard in shards) == 1 for name in NAMES)
    sizes = [sum(shard.holds(name) for name in NAMES) for shard in shards]
    assert max(sizes) < 3 * len(NAMES) / of  # none does most of the work


def test_the_dealing_is_the_same_on_every_machine_and_for_ever() -> None:
    """Shards that were made by another version must stay shards of the same cohort."""
    dealing = [next(n for n in range(1, 21) if Shard(n, 20).holds(name)) for name in NAMES[:8]]
    assert dealing == [5, 9, 3, 15, 20, 10, 1, 4]
    assert Shard(2, 20).holds("Müller, Jörg.jpg")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0/4", "0/4: give a part"),
        ("5/4", "5/4: give a part and the number of parts, 1/4 to 4/4"),
        ("1/0", "1/0: give a part"),
        ("3", '"3": give a part and the number of parts, as 3/20'),
        ("a/b", "as 3/20"),
        ("-1/4", "as 3/20"),
    ],
)
def test_what_is_no_shard(text: str, words: str) -> None:
    with pytest.raises(UserError, match=r"^--shard is .*") as caught:
        Shard.read(text)
    assert words in str(caught.value)


def test_folders_sort_as_their_numbers_and_a_folder_inside_stays() -> None:
    assert Shard(3, 20).folder(Path("measured")) == Path("measured/shard-03-of-20")
    inside = Path("graded/shard-03-of-20/measurements")
    assert Shard(3, 20).folder(inside) == inside


def command(
    source: Path, *, out: Path, models: tuple[str, ...] = (), redact: bool = False,
    pictures: bool = True, seed: int = 0, shard: ShardOption = None,
) -> Callable[[list[str]], frozenset[str]]:  # fmt: skip
    given = dict(locals())
    assert shard is not None
    return lambda names: dealt(
        dict(zip(names, names, strict=True)),
        shard, out=shard.folder(out), command="micro flow", call=command, given=given,
    )  # fmt: skip


def test_the_record_names_the_very_command(tmp_path: Path) -> None:
    shard = Shard(3, 20)
    mine = command(
        Path("my clips.csv"), out=tmp_path, models=("a", "b"), redact=True, pictures=False,
        shard=shard,
    )(NAMES)  # fmt: skip
    record = ShardRecord.read(shard.folder(tmp_path))
    assert set(record.images) == mine == {name for name in NAMES if shard.holds(name)}
    assert record.total == len(NAMES)
    line = record.command_line([7])
    assert shlex.split(line) == [
        "python", "run_pipeline.py", "micro", "flow", "my clips.csv", "--out", str(tmp_path),
        "--models", "a", "b", "--redact", "--no-pictures", "--shard", "7/20",
    ]  # fmt: skip
    several = record.command_line([3, 7])
    assert several.startswith("for i in 3 7; do python run_pipeline.py micro flow 'my clips.csv' ")
    assert several.endswith(" --shard $i/20; done")


def test_names_in_another_order_have_the_same_checksum(tmp_path: Path) -> None:
    records = []
    for out, names in ((tmp_path / "a", NAMES), (tmp_path / "b", NAMES[::-1])):
        command(Path("m.csv"), out=out, shard=Shard(1, 2))(names)
        records.append(ShardRecord.read(Shard(1, 2).folder(out)))
    assert records[0].sha256 == records[1].sha256
    assert sorted(records[0].images) == sorted(records[1].images)


def test_an_empty_shard_is_done_and_says_so(tmp_path: Path) -> None:
    shard = next(one for one in (Shard(1, 2), Shard(2, 2)) if not one.holds("a.jpg"))
    with pytest.raises(EmptyShardError, match="None of the 1 in the source belong"):
        command(Path("m.csv"), out=tmp_path, shard=shard)(["a.jpg"])
    assert ShardRecord.read(shard.folder(tmp_path)).images == []


@pytest.mark.parametrize("words", [["extract"], ["grade"], ["htnet", "predict"], ["micro", "flow"]])
def test_the_option_is_the_same_for_every_command(words: list[str], tmp_path: Path) -> None:
    needed = {"grade": ["--model", "m"], "htnet": ["--weights", "w"]}.get(words[0], [])
    _, bound, _ = run_pipeline.app.parse_args(
        [*words, "source.csv", "--out", "o", *needed, "--shard", "3/20"],
        exit_on_error=False, print_error=False,
    )  # fmt: skip
    assert bound.arguments["shard"] == Shard(3, 20)
