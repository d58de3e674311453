"""The command `htnet` and its sub-commands, mounted by import path so that none loads early."""

from __future__ import annotations

import sys

from cyclopts import App

SUB_COMMANDS = {
    "train": ("htnet.commands.train:train", "Train on patient-grouped folds, or on everyone."),
    "evaluate": ("htnet.commands.train:evaluate", "Answer and score the held-out patients."),
    "predict": ("htnet.commands.predict:predict", "Grade new photographs or a camera's frame."),
    "explain": ("htnet.commands.explain:explain", "Maps of what it looked at; asymmetry by grade."),
    "convert": ("htnet.commands.convert:convert", "Make old weights (.pth) a network to use here."),
}

app = App(
    name="htnet",
    help="The image branch: train, evaluate, predict and explain HTNet. Research use only.",
    help_format="markdown",
    version_flags=(),
)
for _name, (_target, _line) in SUB_COMMANDS.items():
    # The page of the one that is asked for shows its whole docstring.
    app.command(_target, name=_name, help=None if _name in sys.argv[2:3] else _line)
