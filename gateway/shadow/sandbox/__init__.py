"""Runs code that an attacker may have written, and says how it ended (`Slot`).

Two levels of walls (`Level`): bubblewrap with namespaces, and Landlock where namespaces can't be made, both with a
filter of system calls. A slot is a warm Python behind such walls that forks a process tree a job (`runner`).
"""
