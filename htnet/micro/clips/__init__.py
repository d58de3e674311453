"""Clips to flow: frames, motion of face and head, maps, regions, apexes, and their folder."""
