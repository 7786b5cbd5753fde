"""How a number went over runs or commits, and where it changed by more than its noise.

steps     the rule that marks a change; numbers only
series    runs → points, with a reason for each that does not count
text      for a terminal
"""
