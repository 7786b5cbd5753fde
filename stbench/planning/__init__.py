"""What a run will cost before it is made: seconds, memory, money, from counted work and a device's numbers.

work        what a method has to do for a shot: operations, bytes moved, bytes sent (counted by the method's package)
devices     what a device can do: data sheets with sources, efficiencies with sources or as assumptions
predict     work on a device → seconds
calibrate   one measured number scales the arithmetic: a published row, or one shot of a run
plan        shots → suite, hours, money, GPUs for a deadline
published   a published table of times and memory, held against the arithmetic
"""
