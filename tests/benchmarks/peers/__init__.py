"""Scripts of peers, each run in an environment of its own; none imports anything of ours."""
