"""Simulated patients: a parametric face with true points, eight movements and palsy by grade.

A patient (`cohort`, `face`) has a shape (`shape`, `relief`), moves (`muscles`, `movement`), and is
drawn (`render` and what it lists). `photo_warp` imposes a palsy on a real portrait.
"""
