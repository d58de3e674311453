"""68 points to 51 points, distances A..Z and asymmetry features f0..f28.

Drawings are in `features.drawing` and are not listed here, because they load matplotlib.
"""

from features.command import FeatureTables, features, write_feature_tables
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
from features.reference_page import difference_table, distance_table, feature_table, reference_page
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
    "REGIONS",
    "Definition",
    "DefinitionName",
    "FeatureTables",
    "Measured",
    "Measurement",
    "definition_named",
    "definition_of",
    "definitions_that_differ",
    "difference_table",
    "distance_table",
    "feature_table",
    "features",
    "features_of_regions",
    "measure",
    "measurement",
    "points_used",
    "read_dists",
    "read_features",
    "reference_page",
    "schematic_face",
    "write_feature_tables",
]
