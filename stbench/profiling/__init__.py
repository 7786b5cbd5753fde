"""What the raw spans of a run say: seconds by stage, against memory and steps, throughput, utilisation, and whether to believe them.

reading     timing.jsonl → shots that were timed
validity    may these times be believed? VALID, or INVALID with the rules that failed
summary     tables from shots
ceiling     what the device reaches in a large product and a large copy
roofline    counted operations against the ceiling
live        film some shots for their times only
text        the profile on a terminal
"""
