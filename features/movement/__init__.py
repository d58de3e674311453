"""Films to movement: curves of each side, blinks, movements, the eight photographs of a film."""
