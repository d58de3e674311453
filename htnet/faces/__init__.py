"""From photographs and points to aligned faces and their labels."""
