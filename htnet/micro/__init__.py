"""Micro-expressions: optical flow of clips, models on it, leave-one-subject-out."""
