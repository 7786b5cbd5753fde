"""Storage of a run that many workers write: who may film which story."""
