"""The command `micro` and its sub-commands, mounted by import path so that none loads early."""

from __future__ import annotations

import sys

from cyclopts import App

SUB_COMMANDS = {
    "flow": ("htnet.micro.commands.flow:flow", "Optical flow of clips, from onset to apex."),
    "spot": ("htnet.micro.commands.spot:spot", "Find the apex frame of clips from their motion."),
    "loso": ("htnet.micro.commands.loso:loso", "Leave-one-subject-out evaluation of every model."),
    "weights": (
        "htnet.micro.commands.fit:weights",
        "Train HTNet on the flow of all clips: weights for `htnet train --pretrained`.",
    ),
    "fit": ("htnet.micro.commands.fit:fit", "Train one model on all clips and keep it."),
    "predict": (
        "htnet.micro.commands.predict:predict",
        "Find and classify the expression in a new clip.",
    ),
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
