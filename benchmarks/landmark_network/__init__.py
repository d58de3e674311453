"""A landmark network taught by renderings of faces with known points; see `__main__`."""
