"""Tables to graders: patient-grouped validation, scores with intervals, reports."""
