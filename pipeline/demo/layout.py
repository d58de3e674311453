"""Where each stage of the demo leaves what it makes, and the folds that all of them share."""

COHORT, MANIFEST, MEASURED, PORTRAIT = "cohort", "manifest.csv", "measurements", "portrait"
BENCHMARK, GEOMETRY = "benchmark", "geometry"
NETWORKS, NETWORK_SCORES = "networks", "network_scores"
COMPARED, FUSED, REPORT = "comparison", "fusion", "report.html"

FOLDS, INNER_FOLDS = 4, 3
