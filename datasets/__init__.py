"""One reader for each dataset of the field, into one manifest; the simulated cohort."""
