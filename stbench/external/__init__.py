"""Methods that are programs of their own, each in its own environment: run by a recipe, one story at a time, never installed by us."""
