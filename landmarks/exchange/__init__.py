"""Points of other tools: their formats as landmark tables, and corrections made elsewhere."""
