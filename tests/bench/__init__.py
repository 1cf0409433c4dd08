"""Speed, measured side by side: newleaf, the same work written by hand, and the same work as most write it.

`python -m tests.bench` runs it all and prints a table; `tox -e bench` is the same in an environment of its own.
"""
