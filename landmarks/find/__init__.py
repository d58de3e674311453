"""From a photograph to its 68 points: detection, prediction, averaging, irises, journal."""
