"""Servers that are killed at their work, again and again, and disks that fill: what is needed to try that at random.

A `Life` is one data directory and its server; a round draws a mixture of work, kills the server in the middle of it,
starts it again and holds what is there against what was acknowledged.
"""
