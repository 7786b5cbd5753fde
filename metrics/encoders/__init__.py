"""Encoders: frames, clips and texts in, unit vectors out. One family per file; `stbench.encoders` names them."""
