"""What both branches share: target, folds, predictions, scores, calibration, comparison."""
