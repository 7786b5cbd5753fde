"""stbench: from story scripts to films, from films to scores, from scores to reports and verdicts."""

__version__ = "0.1.0"
