"""The network itself, readable from top to bottom: levels, attention, regions, heads, weights."""
