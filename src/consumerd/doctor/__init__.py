"""What is wrong, from the numbers of a running master: findings with their evidence, and what to do about each.

Pure: `consumerd doctor` asks, and this decides by what it is given.
"""
