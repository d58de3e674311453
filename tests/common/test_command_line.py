from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
from cyclopts import App
from cyclopts.argument import Argument

import run_pipeline
from classifiers.graders.registry import GRADERS
from common.command_line import build_app, run
from common.errors import exit_code_for
from tests.common.photo_files import portrait_folder

pytestmark = pytest.mark.usefixtures("workers_here")

Told = tuple[int, str]
Command = Callable[..., Told]


@pytest.fixture
def command(capsys: pytest.CaptureFixture) -> Command:
    """Run a command line in this process; gives the exit code and what stood on stderr."""

    def call(*argv: object) -> Told:
        words = [str(word) for word in argv]
        app = build_app(
            run_pipeline.COMMANDS,
            name="run_pipeline.py",
            summary=run_pipeline.__doc__ or "",
            words=words,
        )
        code = run(app, words)
        captured = capsys.readouterr()
        call.out = captured.out  # type: ignore[attr-defined]
        return code, captured.err

    return call


def sentence(told: Told, *, code: int = 2) -> str:
    """The one line of an error, whose exit code is checked; progress lines are left out."""
    assert told[0] == code
    (line,) = (line for line in told[1].splitlines() if not line.startswith("extract: "))
    assert line.startswith("Error: ")
    return line


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    return portrait_folder(tmp_path_factory.mktemp("photos"), portrait, count=2)


# --- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(run_pipeline.COMMANDS))
def test_every_command_has_a_page_of_help(command: Command, name: str) -> None:
    code, errors = command(name, "--help")
    assert (code, errors) == (0, "")
    assert f"run_pipeline.py {name}" in command.out
    assert "--config" in command.out
    if name in ("benchmark", "fit"):
        named = [one for one in GRADERS.values() if name == "benchmark" or not one.baseline]
        assert [one.name for one in named if one.name not in command.out] == []


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_the_list_of_commands_names_them_all_and_what_it_is_for(
    command: Command, argv: list[str]
) -> None:
    code, errors = command(*argv)
    assert (code, errors) == (0, "")
    for name in run_pipeline.COMMANDS:
        assert name in command.out
    assert "does not diagnose" in command.out


def test_help_of_extract_comes_from_its_docstring(command: Command) -> None:
    command("extract", "--help")
    assert "Every photograph gets one row in every table" in command.out
    for option in ("--out", "--definition", "--predictor", "--faces", "--overlays", "--jobs"):
        assert option in command.out


# --- wrong usage -------------------------------------------------------------------------------


def test_an_unknown_command_gets_a_suggestion(command: Command) -> None:
    assert 'Did you mean "extract"?' in sentence(command("extrct", "photos"))


@pytest.mark.parametrize("words", ["extrct", "extrct --help", "--config s.yaml extrct --help"])
def test_an_unknown_command_is_wrong_usage_also_when_its_help_is_asked_for(
    command: Command, words: str
) -> None:
    assert 'There is no command "extrct". Did you mean "extract"?' in sentence(
        command(*words.split())
    )


def test_an_unknown_sub_command_is_named_with_those_that_there_are(command: Command) -> None:
    for words in (["micro", "xx", "--help"], ["micro", "xx"]):
        line = sentence(command(*words))
        assert 'no command "micro xx". There are flow, spot, loso' in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("benchmark --graders svm T.csv --out x", '"benchmark" needs FEATURES: give it before'),
        ("compare --models a b A.csv B.csv --out x", "before the options"),
        ("fuse --models a b A.csv B.csv --out x", "before the options"),
        (
            "joint-report --fused F.csv --features G.csv --manifest M.csv --models a A.csv --out x",
            "before the options",
        ),
        ("extract photos", '"extract" needs --out'),
    ],
)
def test_a_file_behind_a_list_is_told_where_it_belongs(
    command: Command, words: str, said: str
) -> None:
    assert said in sentence(command(*words.split()))


def leaves(app: App, said: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command and sub-command that does something."""
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield said, app
    for name in names:
        yield from leaves(app[name], (*said, name))


def values_of(argument: Argument) -> list[str]:
    """Two words that the option understands."""
    words = [word for one in get_args(argument.hint) for word in get_args(one)]
    words = words or list(map(str, get_args(argument.hint)))
    chosen = [word for word in words if isinstance(word, str) and word.isidentifier()]
    numbers = {int, float} & {
        kind for one in (argument.hint, *get_args(argument.hint)) for kind in (one, *get_args(one))
    }
    return chosen[:2] if len(chosen) > 1 else ["1", "2"] if numbers else ["a", "b"]


def test_every_option_is_explained_in_words_that_everybody_knows() -> None:
    app = build_app(run_pipeline.COMMANDS, name="run_pipeline.py", summary="")
    for words, leaf in leaves(app):
        for argument in leaf.assemble_argument_collection(parse_docstring=True):
            said = argument.parameter.help or ""
            assert said.strip(), (words, argument.name)
            assert not re.search(r"\b(told|sureness)\b", said), (words, argument.name, said)


def test_every_list_takes_words_in_a_row_or_the_option_again() -> None:
    app = build_app(run_pipeline.COMMANDS, name="run_pipeline.py", summary="")
    lists = 0
    for words, leaf in leaves(app):
        arguments = list(leaf.assemble_argument_collection())
        needed: list[str] = []
        for argument in sorted(arguments, key=lambda one: one.field_info.is_keyword_only):
            if argument.field_info.kind is argument.field_info.VAR_POSITIONAL:
                needed += ["A.csv", "B.csv"]
            elif argument.field_info.is_keyword_only:
                if argument.required:
                    needed += [argument.name, "1"]
            elif get_origin(argument.hint) is Literal:
                needed.append(get_args(argument.hint)[0])
            else:
                needed.append("T.csv")
        for argument in arguments:
            if not argument.field_info.is_keyword_only or get_origin(argument.hint) is not tuple:
                continue
            lists += 1
            option, (first, second) = argument.name, values_of(argument)
            without = [
                word
                for at, word in enumerate(needed)
                if word != option and needed[at - 1 : at] != [option]
            ]
            found = [
                app.parse_args([*words, *without, *said], exit_on_error=False, print_error=False)[1]
                for said in ([option, first, second], [option, first, option, second])
            ]
            assert found[0].arguments == found[1].arguments, (words, option)
            assert len(found[0].arguments[argument.field_info.name]) == 2, (words, option)
    assert lists >= 15


def test_an_unknown_option_gets_a_suggestion(command: Command, tmp_path: Path) -> None:
    told = command("extract", tmp_path, "--out", tmp_path, "--overlay")
    assert "Did you mean --overlays?" in sentence(told)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--jobs", "two", "--jobs"),
        ("--jobs", "0", "give 1 or more"),
        ("--faces", "all", "largest"),
        ("--definition", "huo", "huo2022"),
        ("--predictor", "ibgu", 'Did you mean "ibug"?'),
        ("--predictor", "nowhere/mee.dat", "does not exist"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    command: Command, photos: Path, tmp_path: Path, option: str, value: str, words: str
) -> None:
    told = command("extract", photos, "--out", tmp_path / "out", option, value)
    assert words in sentence(told)
    assert not (tmp_path / "out").exists()


def test_a_missing_source(command: Command, tmp_path: Path) -> None:
    assert "does not exist" in sentence(command("extract", tmp_path / "no", "--out", tmp_path))


def test_a_model_file_that_is_none_is_told_by_the_first_worker(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.dat").write_bytes(b"\x01" * 5000)  # dlib itself would crash on this one
    told = command(
        "extract", photos, "--out", tmp_path / "out", "--predictor", tmp_path / "wrong.dat"
    )
    assert "wrong.dat is not a whole dlib shape predictor" in sentence(told)


@pytest.mark.parametrize("place", ["a-file/out", "/proc/palsy-out"])
def test_an_output_folder_that_cannot_be_written(
    command: Command, photos: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "a-file").touch()
    if place.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    told = command("extract", photos, "--out", tmp_path / place)
    assert "Cannot write" in sentence(told)
    assert "--out" in sentence(told)


def test_a_disk_that_is_full_when_the_tables_are_written(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    told = command("extract", photos, "--out", tmp_path / "out", "--tta", 0, "--jobs", 1)
    assert "No space left on device" in sentence(told)
    assert "free some space" in sentence(told)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"journal.jsonl"}  # no half table, and what was done is kept


# --- settings from a file ----------------------------------------------------------------------


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_options_come_from_a_file_and_the_command_line_wins(
    command: Command, photos: Path, tmp_path: Path
) -> None:
    config = settings_file(
        tmp_path,
        f"extract:\n  out: {tmp_path / 'out'}\n  definition: huo2022\n  faces: error\n"
        "  jobs: 1\n  tta: 0\n  overlays: true\nfeatures:\n  definition: standard\n",
    )
    told = command("extract", photos, "--config", config, "--faces", "largest")
    assert told[0] == 0, told
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    used = record["settings"]
    assert (used["definition"], used["jobs"], used["overlays"]) == ("huo2022", 1, True)
    assert used["faces"] == "largest"
    assert (tmp_path / "out" / "overlays" / "p1.jpg.jpg").is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extract:\n  job: 1\n", ['"extract" has no option "job"', 'Did you mean "jobs"?']),
        ("extract:\n  tta-knd: box\n", ['no option "tta-knd"', 'Did you mean "tta_kind"?']),
        ("extrct:\n  jobs: 1\n", ['no command "extrct"', 'Did you mean "extract"?']),
        ("- extract\n", ["one section for each command"]),
        ("extract: 3\n", ['the section "extract"']),
        ("extract: [1,\n", ["cannot be read"]),
        ("", ["one section for each command"]),
        ("extract:\n  jobs: two\n", ["jobs"]),
        ("extract:\n  faces: all\n", ["largest"]),
    ],
)
def test_a_wrong_settings_file_is_refused(
    command: Command, photos: Path, tmp_path: Path, text: str, words: list[str]
) -> None:
    config = settings_file(tmp_path, text)
    told = command("extract", photos, "--out", tmp_path / "out", "--config", config)
    line = sentence(told)
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()


def test_dashes_and_underscores_are_the_same_in_a_settings_file(
    command: Command, tmp_path: Path
) -> None:
    for name in ("tta-kind", "tta_kind"):
        config = settings_file(tmp_path, f"extract:\n  {name}: no_such_kind\n")
        told = command("extract", tmp_path, "--out", tmp_path / "out", "--config", config)
        assert "no_such_kind" in sentence(told)


def test_a_settings_file_that_is_missing(command: Command, tmp_path: Path) -> None:
    told = command("extract", tmp_path, "--out", tmp_path, "--config", tmp_path / "no.yaml")
    assert "no.yaml cannot be read" in sentence(told)


# --- exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ok", "failed", "code"), [(5, 0, 0), (4, 1, 3), (0, 5, 4), (0, 0, 4), (1, 0, 0)]
)
def test_exit_codes(ok: int, failed: int, code: int) -> None:
    assert exit_code_for(ok=ok, failed=failed) == code


def test_ctrl_c_gives_130_and_one_sentence(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import features.commands.extract

    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(features.commands.extract, "extract_landmarks", interrupted)
    told = command("extract", photos, "--out", tmp_path / "out")
    assert sentence(told, code=130) == "Error: Stopped; run the same command again to go on."


def test_a_bug_is_not_hidden(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import features.commands.extract

    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(features.commands.extract, "extract_landmarks", broken)
    with pytest.raises(ZeroDivisionError):
        command("extract", photos, "--out", tmp_path / "out")


# --- where the results go ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["features", "landmarks.csv"],
        ["benchmark", "features.csv"],
        ["simulate"],
        ["htnet", "explain", "model", "manifest.csv", "--landmarks", "landmarks.csv"],
    ],
)
def test_an_output_that_is_a_file_is_refused_before_anything_is_done(
    command: Command, tmp_path: Path, argv: list[str]
) -> None:
    (tmp_path / "notes.txt").touch()
    told = command(*argv, "--out", tmp_path / "notes.txt")
    assert "notes.txt is a file and must be a folder" in sentence(told)


def test_a_manifest_is_written_to_a_file(command: Command, tmp_path: Path) -> None:
    told = command("prepare", "folder", tmp_path, "--out", tmp_path)
    assert "is a folder and must be a file" in sentence(told)


def test_a_second_run_into_one_folder_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(_descriptor: int) -> None:  # as it is while another process holds the folder
        raise BlockingIOError

    monkeypatch.setattr("common.files._lock", held)
    told = command("features", tmp_path / "landmarks.csv", "--out", tmp_path / "out")
    assert "Another run is writing to" in sentence(told)
