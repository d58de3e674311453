"""The commands `evaluate-landmarks` and `train-landmarks`."""
