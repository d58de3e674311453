"""The commands that join packages: `demo`, `simulate`, `joint-report`, `doctor`."""
