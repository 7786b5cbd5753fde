"""StoryMem: multi-shot films from a single-shot video diffusion model and a memory of keyframes.

Pure functions first (`positions`, `condition`, `memory`, `keyframes`, `layouts`), one sampling loop (`denoise`), weights and
their proofs (`checkpoints`, `lora`, `profiles`), the loaded model (`generator`) and the methods that the benchmark runs
(`method`, `independent`). Method: arXiv 2512.19539.
"""
