"""68 points to 51 points, distances A..Z and asymmetry features f0..f28."""
