"""Servers as they were seen to behave, and what a judge or a sampler makes of each."""

from tests.endpoint_faults.fault import Fault
from tests.endpoint_faults.options import OPTIONS
from tests.endpoint_faults.probabilities import PROBABILITIES
from tests.endpoint_faults.replies import REPLIES

FAULTS: tuple[Fault, ...] = (*OPTIONS, *PROBABILITIES, *REPLIES)
