"""What runs inside the sandbox: standard library only, and nothing of Solon beside it.

`main` forks before it has seen the tests. The answer runs in the child; the parent, the checker,
runs the tests and calls the answer's functions over a pair of pipes, so that what decides is never
in the answer's reach. `apart` says which tests this works for, `codec` which values go through.
"""
