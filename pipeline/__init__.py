"""The commands that join packages: extract, demo, doctor; and the mechanics of the command line."""
