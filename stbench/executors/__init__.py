"""Executors: where the stories of a run are filmed. The unit of distribution is the story."""
