"""Measurements, network and both together in one report."""
