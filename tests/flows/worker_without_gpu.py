"""Runs `solon worker` for a pool of GPUs on a machine without one.

python -m tests.flows.worker_without_gpu worker --pool solon-gpu …
"""

from flows.cli import main
from flows.service import worker_checks
from flows.service.readiness import ok

worker_checks.check_gpu = lambda: ok("GPU for trainings", "a test needs none")
main.main()
