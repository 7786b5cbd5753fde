"""Training of Story World's generator: one command per model, resumable, deterministic data, curves and cards."""
