"""The world around the daemons: who produces their tasks, whom they call, and what goes wrong there.

Each of its parts is a process of its own and keeps a ledger. The balance is struck from these and from the database;
nothing that consumerd says of itself goes into it.
"""
