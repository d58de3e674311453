"""Errors meant for the user: one sentence saying what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
