"""The command `micro` and its sub-commands, mounted by import path so that none loads early."""

from __future__ import annotations

import sys

from cyclopts import App

SUB_COMMANDS = {
    "loso": ("pipeline.micro_loso:micro_loso", "Every model, one subject left out at a time."),
}

app = App(
    name="micro",
    help="Micro-expressions: optical flow, models on it, leave-one-subject-out. Research use only.",
    help_format="markdown",
    version_flags=(),
)
for _name, (_target, _line) in SUB_COMMANDS.items():
    # The page of the one that is asked for shows its whole docstring.
    app.command(_target, name=_name, help=None if _name in sys.argv[2:3] else _line)
