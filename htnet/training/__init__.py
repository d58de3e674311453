"""Recipes, one training, and what a trained network answers."""
