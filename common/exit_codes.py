"""Exit codes of every command: what a script or a log can rely on."""

from __future__ import annotations

OK, WRONG_USAGE, SOME_FAILED, NOTHING_WORKED = 0, 2, 3, 4
INTERRUPTED = 130  # what shells expect after Ctrl-C


def exit_code_for(*, ok: int, failed: int) -> int:
    """Return 0 when nothing failed, 3 when some inputs did, 4 when nothing worked."""
    if not failed:
        return OK if ok else NOTHING_WORKED
    return SOME_FAILED if ok else NOTHING_WORKED
