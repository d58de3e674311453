"""From tables of patients to graders: columns, estimators, nested choice, kept models."""
