"""68 points to 51 points, distances A..Z, asymmetry features f0..f28 and clinical measures.

Drawings are in `features.drawing` and `features.measure_overlay` and are not listed here; the
first loads matplotlib.
"""

from features.commands.features import FeatureTables, features, write_feature_tables
from features.definitions import (
    DEFINITIONS,
    Definition,
    DefinitionName,
    definition_named,
    definitions_that_differ,
    measurement,
    points_used,
)
from features.geometry import Measured, measure
from features.measure_table import measure_table, measures_page, read_measures
from features.measures import MEASURE_NAMES, MEASURES, MeasuredFaces, measure_faces
from features.registry import (
    DISTANCE_NAMES,
    DISTANCES,
    FEATURE_NAMES,
    FEATURES,
    REGIONS,
    Measurement,
    features_of_regions,
)
from features.schematic_face import schematic_face
from features.tables import definition_of, read_dists, read_features

__all__ = [
    "DEFINITIONS",
    "DISTANCES",
    "DISTANCE_NAMES",
    "FEATURES",
    "FEATURE_NAMES",
    "MEASURES",
    "MEASURE_NAMES",
    "REGIONS",
    "Definition",
    "DefinitionName",
    "FeatureTables",
    "Measured",
    "MeasuredFaces",
    "Measurement",
    "definition_named",
    "definition_of",
    "definitions_that_differ",
    "features",
    "features_of_regions",
    "measure",
    "measure_faces",
    "measure_table",
    "measurement",
    "measures_page",
    "points_used",
    "read_dists",
    "read_features",
    "read_measures",
    "schematic_face",
    "write_feature_tables",
]
