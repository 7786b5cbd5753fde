"""Metrics: encoders, one metric per file, protocols, the feature cache. Reached from the harness by name only."""
