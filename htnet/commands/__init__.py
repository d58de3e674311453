"""The command `htnet` and its sub-commands."""
