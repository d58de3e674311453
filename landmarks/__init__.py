"""Photograph to 68 points, with the quality of each."""
