"""What answers HTTP: a process of its own, which the master executes, and which asks the master by the control socket.

It speaks to the master as every client does, and to nobody's database; the master speaks no HTTP.
"""
