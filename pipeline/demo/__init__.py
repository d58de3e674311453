"""The stages of the demo and its report."""
