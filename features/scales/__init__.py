"""Scale-shaped measures: how far each side of the face moves from rest, and items made of that."""
