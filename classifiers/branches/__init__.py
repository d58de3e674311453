"""Branches on the same folds: laid side by side, compared, fused."""
