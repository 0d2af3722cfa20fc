"""Preferences in and out of the store: four forms, three containers. SQL in store/exchange.py."""

from typing import Literal, get_args

Form = Literal["preference", "ranking", "sft", "kto"]
FORMS: tuple[Form, ...] = get_args(Form)
