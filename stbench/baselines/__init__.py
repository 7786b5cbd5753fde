"""Baselines: one method per file, heavy imports inside functions."""
