"""Commands of `stbench`, one per file; each has `register(app)` and imports its work when it runs."""
