"""Films made elsewhere: which file is which shot of a script, shown first, then adopted into a run folder and scored like any other.

`layout` maps files to shots, `cuts` finds where a whole film is to be cut, `adopt` makes the run folder. Nothing is guessed
silently: what is missing, short, unreadable, given twice or left over is named and counted.
"""
