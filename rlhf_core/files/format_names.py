"""Names of the well-known formats, apart from formats.py, which commands do not load for help."""

from typing import Literal, get_args

FormatName = Literal[
    "trl",
    "openai",
    "ultrafeedback",
    "ultrafeedback_binarized",
    "hh",
    "hh_with_prompt",
    "nectar",
    "helpsteer2",
    "helpsteer2_preference",
    "helpsteer3",
    "sharegpt",
    "sharegpt_preference",
    "alpaca",
    "alpaca_preference",
    "alpaca_farm",
    "orca",
    "verl",
    "healthbench",
]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
