"""One reader per dataset into one manifest, its checks, and the simulated cohort."""
