"""The mechanics of the command line: YAML options, one-sentence errors, exit codes.

A command is a plain function with typed, keyword-only options and a numpydoc docstring; the
command line, its help and its YAML keys are made from that one definition. Commands are mounted by
import path, so that starting one does not load the others.

An option that takes several values takes every word up to the next option, and may be given again:
`--models a b` and `--models a --models b` are the same. So files without an option stand first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import yaml
from cyclopts import App, CycloptsError, MissingArgumentError, Parameter
from cyclopts.config import Dict as DictConfig

from common.errors import INTERRUPTED, OK, WRONG_USAGE, UserError, did_you_mean
from common.files import OutFile, claimed
from common.parquet import Format, large_tables_as
from common.shards import EmptyShardError, Shard

LISTS = Parameter(consume_multiple=True, negative_iterable=())
"""How every list on the command line is read; sub-commands take it from their parent."""


Commands = Mapping[str, tuple["str | Commands", str]]
"""By name: the import path of a command, or its sub-commands; and its one-line help."""


@runtime_checkable
class HasExitCode(Protocol):
    """What a command may return to set the exit code; anything else means 0."""

    @property
    def exit_code(self) -> int:
        """0 all worked, 3 some inputs failed, 4 nothing worked."""
        ...


def build_app(commands: Commands, *, name: str, summary: str, words: Sequence[str] = ()) -> App:
    """Build the command line from `{command: (import path or sub-commands, one-line help)}`.

    The page of the command that `words` ask for shows its whole docstring; the list of commands
    shows the one-line helps, for which nothing has to be imported.
    """
    app = App(
        name=name,
        help=summary,
        help_format="markdown",
        version_flags=(),
        suppress_keyboard_interrupt=False,  # run() answers Ctrl-C, and says how to go on
        default_parameter=LISTS,
    )
    app.meta.suppress_keyboard_interrupt = False
    _mount(commands, app, words)

    @app.meta.default
    def launcher(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[
            Path | None,
            Parameter(help="YAML file of options: one section for each command, keys as options."),
        ] = None,
        format: Annotated[  # the name of the option
            Format,
            Parameter(help="Of tables with a row for each photograph: csv, or parquet (smaller)."),
        ] = "csv",
    ) -> Any:
        if config is not None:
            app.config = (DictConfig(_read_config(config, app), source=str(config)),)
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        bound.apply_defaults()
        with _output_claimed(command, bound.arguments), large_tables_as(format):
            return command(*bound.args, **bound.kwargs)

    return app


def _mount(commands: Commands, app: App, words: Sequence[str]) -> None:
    for command, (target, line) in commands.items():
        if isinstance(target, str):
            app.command(target, name=command, help=None if words[:1] == [command] else line)
        else:
            group = App(
                name=command,
                help=f"{line} Research use only.",
                help_format="markdown",
                version_flags=(),
            )
            _mount(target, group, words[1:])
            app.command(group)


def _output_claimed(
    command: Callable[..., Any], given: Mapping[str, Any]
) -> AbstractContextManager[None]:
    """Keep what a command writes to for this run: two at once would mix their tables."""
    out, shard = given.get("out"), given.get("shard")
    if not isinstance(out, Path):
        return nullcontext()
    if isinstance(shard, Shard):  # the others of the same --out run at the same time
        return claimed(shard.folder(out))
    hint = signature(command, eval_str=True).parameters["out"].annotation
    return claimed(out, is_file=hint is OutFile)


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; a user's mistake gives one sentence."""
    words = sys.argv[1:] if argv is None else argv
    try:
        _refuse_unknown(words, app)
        result = app.meta(
            words, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        return _complain(_sentence(error), code=WRONG_USAGE)
    except UserError as error:
        return _complain(str(error), code=WRONG_USAGE)
    except EmptyShardError as nothing:
        print(nothing)
        return OK
    except KeyboardInterrupt:
        return _complain("Stopped; run the same command again to go on.", code=INTERRUPTED)
    return result.exit_code if isinstance(result, HasExitCode) else OK


def _refuse_unknown(words: Sequence[str], app: App) -> None:
    """Refuse an unknown command or sub-command, also where only its help is asked for."""
    said = ""
    for word in words[2:] if words[:1] == ["--config"] else words:
        known = _commands_of(app)
        if not known or word.startswith("-"):
            return
        if word not in known:
            near = did_you_mean(word, known) or f" There are {', '.join(known)}."
            raise UserError(f'There is no command "{said}{word}".{near}')
        app, said = app[word], f"{said}{word} "


def _sentence(error: CycloptsError) -> str:
    """Return what is wrong with the words; of a missing file also where it stands."""
    if not isinstance(error, MissingArgumentError) or error.argument is None:
        return str(error).strip()
    field, command = error.argument.field_info, " ".join(error.command_chain or ())
    if field.kind is field.KEYWORD_ONLY:
        return f'"{command}" needs {error.argument.name} with a value.'
    return (
        f'"{command}" needs {field.name.upper()}: give it before the options, since an option that '
        "takes several values takes every word up to the next option."
    )


def _complain(sentence: str, *, code: int) -> int:
    print(f"Error: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _read_config(path: Path, app: App) -> dict[str, Any]:
    """Read a YAML file of options; unknown commands and options are refused by name."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The settings file {path} cannot be read ({reason}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold one section for each command, such as `extract:`.")
    return _checked(content, app, path=path)


def _checked(content: Mapping[str, Any], app: App, *, path: Path) -> dict[str, Any]:
    """Return the sections of a command, or of its sub-commands, with options spelled as typed."""
    commands = _commands_of(app)
    checked: dict[str, Any] = {}
    for command, options in content.items():
        if command not in commands:
            raise UserError(
                f'{path}: there is no command "{command}".{did_you_mean(str(command), commands)}'
            )
        if not isinstance(options, dict):
            raise UserError(f'{path}: the section "{command}" must hold options such as `jobs: 2`.')
        if _commands_of(app[command]):
            checked[command] = _checked(options, app[command], path=path)
            continue
        arguments = app[command].assemble_argument_collection()
        known = [argument.field_info.name for argument in arguments]
        for option in options:
            if str(option).replace("-", "_") not in known:
                raise UserError(
                    f'{path}: "{command}" has no option "{option}".'
                    + did_you_mean(str(option).replace("-", "_"), known)
                )
        checked[command] = {str(key).replace("_", "-"): value for key, value in options.items()}
    return checked


def _commands_of(app: App) -> list[str]:
    """Names of the commands, or of a command's own sub-commands."""
    return [name for name in app if not name.startswith("-")]
