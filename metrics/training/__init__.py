"""Training of the world encoders: `python -m metrics.training clip|dino --out DIR --minutes M --seed 0`."""
