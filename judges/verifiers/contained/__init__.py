"""The program inside the sandbox: standard library only, without the rest of Solon.

`main` forks before it has read the tests. The answer runs in the child. The parent, the checker,
runs the tests and calls the answer's functions over a pair of pipes, so that the answer can never
reach what decides. `testing` tells which tests can run this way, `codec` which values can be sent.
"""
