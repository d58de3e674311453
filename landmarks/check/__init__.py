"""How good points are: errors against truth, mirroring, tilting, settings; and their report."""
