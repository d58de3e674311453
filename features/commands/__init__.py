"""The commands `extract`, `features` and `draw-measures`."""
