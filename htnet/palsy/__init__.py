"""The palsy cohort in the image branch: folds, trainings, calibration, tables."""
