"""One subject left out at a time: folds, runs, scores, tables, pictures and the report."""
