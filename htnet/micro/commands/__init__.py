"""The command `micro` and its sub-commands."""
