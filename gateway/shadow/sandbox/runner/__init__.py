"""Runs hostile code behind walls. Standard library only, Python 3.10 to 3.13:
it runs in the scoring environment's Python, and imports nothing else of ours.

A warm, trusted *fork server* (`server`) takes jobs from the host over a socket and forks a process tree for each.
"""
