"""What goes wrong, told to the user: one sentence (what, where, what to do), and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

_T = TypeVar("_T")

OK, WRONG_USAGE, SOME_FAILED, NOTHING_WORKED = 0, 2, 3, 4
INTERRUPTED = 130  # what shells expect after Ctrl-C


class UserError(Exception):
    """A mistake that the user can mend; shown as one sentence without a traceback (exit code 2)."""


class PhotoError(UserError):
    """A photograph that cannot be read; the sentence becomes the `reason` in the tables."""


class FilmError(UserError):
    """A film that cannot be read; the sentence becomes the `reason` in the tables."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "...".` for the nearest of `known`, or an empty string.

    Made to be appended to an error sentence.
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


def named(name: str, known: Mapping[str, _T], *, what: str) -> _T:
    """Return the entry of that name; see `refuse_unknown`."""
    refuse_unknown(name, known, what=what)
    return known[name]


def refuse_unknown(name: str, known: Collection[str], *, what: str) -> None:
    """Refuse a name that is not known; `what` says in words what those are that there are."""
    if name not in known:
        raise UserError(
            f'There is no {what} "{name}": choose one of {", ".join(known)}.'
            + did_you_mean(name, known)
        )


def exit_code_for(*, ok: int, failed: int) -> int:
    """Return 0 when nothing failed, 3 when some inputs did, 4 when nothing worked."""
    if not failed:
        return OK if ok else NOTHING_WORKED
    return SOME_FAILED if ok else NOTHING_WORKED
