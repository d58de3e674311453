"""68 points to 51 points, distances A..Z, asymmetry features f0..f28 and clinical measures."""
