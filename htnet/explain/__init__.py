"""What a network looked at: maps, pictures, asymmetry by grade."""
