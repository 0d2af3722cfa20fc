"""Detection and masking of personal data by the rules of presidio-analyzer and detect-secrets.

Both match patterns and verify check sums, numbering plans or the form of a token. No model is
loaded, and nothing leaves the process. Names and postal addresses of people are not detected.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from rlhf_core.config.prompts import PersonalData, PrivacySettings
from rlhf_core.errors import ConfigError

PRIORITY: tuple[PersonalData, ...] = (
    "secret",
    "iban",
    "credit_card",
    "email",
    "ip_address",
    "phone",
)
"""Kinds by priority: the first one names a span where two kinds overlap."""
LEAST_SCORE = 0.4
"""presidio's score of a phone number without words about phones around it."""
VISIBLE = re.compile(r"[!#-&(-;=?-_a-~]*")
"""Characters that extend a secret: visible ASCII except quotes and angle brackets."""
KEY_EDGE = "-----"
KEY_LINE = r"BEGIN ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-3"
# The part after a prefix is longer than that of any word or name. [\w-] alone would also match long
# hyphenated names, so those patterns require a digit and a capital as well.
TOKENS = (
    r"github_pat_\w{22,}",
    r"sk-(?:ant|svcacct|admin|or)-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{24,}",
    r"(?:xai|nvapi|pplx|xapp)-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{32,}",
    r"(?:hf|gsk|npm|r8|lin_api|whsec)_[A-Za-z0-9]{30,}",
    r"(?:(?:dop_v1|shpat|shpss|sbp)_|dapi)[0-9a-f]{32,}",
    r"[rs]k_test_[A-Za-z0-9]{24,}",
    r"AIza[\w-]{35}",
    r"GOCSPX-[\w-]{28}",
    r"hvs\.\w[\w-]{23,}",
    r"ya29\.[\w-]{30,}",
    r"ATATT3[\w=-]{40,}",
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
)
"""Tokens that detect-secrets does not know, issued by GitHub, Anthropic, OpenAI, OpenRouter, xAI,
NVIDIA, Perplexity, Slack, Hugging Face, Groq, npm, Replicate, Linear, Svix, DigitalOcean, Shopify,
Supabase, Databricks, Stripe, Google, Vault, Atlassian, Terraform and age."""


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    kind: PersonalData


Finder = Callable[[str], Iterator[Span]]


def personal_data(text: str, settings: PrivacySettings) -> list[Span]:
    """Return the spans of personal data, in order and without overlaps.

    Raises:
        ConfigError: If the packages that detect it are not installed.
    """
    spans = [span for finder in _finders(settings) for span in finder(text)]
    spans.sort(key=lambda span: (PRIORITY.index(span.kind), span.start, span.end))
    apart: list[Span] = []
    for span in spans:
        touched = [other for other in apart if other.start < span.end and span.start < other.end]
        if touched:
            start = min(span.start, *(other.start for other in touched))
            end = max(span.end, *(other.end for other in touched))
            apart = [other for other in apart if other not in touched]
            span = Span(start, end, touched[0].kind)
        apart.append(span)
    return sorted(apart, key=lambda span: span.start)


def mask_personal_data(text: str, settings: PrivacySettings) -> tuple[str, Counter[str]]:
    """Replace personal data by placeholders such as [EMAIL], and count them by kind.

    The text is scanned until nothing more is detected, because one of two adjacent numbers can hide
    the other.

    Raises:
        ConfigError: If the packages that detect it are not installed.
    """
    kinds: Counter[str] = Counter()
    while spans := personal_data(text, settings):
        kinds.update(span.kind for span in spans)
        for span in reversed(spans):
            text = f"{text[: span.start]}[{span.kind.upper()}]{text[span.end :]}"
    return text, kinds


@cache
def _finders(settings: PrivacySettings) -> list[Finder]:
    try:
        finders = [*_recognisers(settings)]
        return [*finders, *_secrets()] if "secret" in settings.kinds else finders
    except ImportError:
        raise ConfigError(
            f"prompts.privacy.policy: {settings.policy} needs `pip install 'solon[privacy]'`"
        ) from None


def _recognisers(settings: PrivacySettings) -> Iterator[Finder]:
    import tldextract
    from presidio_analyzer import EntityRecognizer
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
    )

    # The analysis of a language model, which these recognisers do not use.
    without_words: Any = None
    # The list that ships with tldextract; by default it downloads a newer one.
    known_domains = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class OfflineEmailRecognizer(EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return known_domains(pattern_text).fqdn != ""

    recognisers: dict[PersonalData, EntityRecognizer] = {
        "email": OfflineEmailRecognizer(),
        "phone": PhoneRecognizer(supported_regions=settings.phone_regions),
        "credit_card": CreditCardRecognizer(),
        "iban": IbanRecognizer(),
        "ip_address": IpRecognizer(),
    }

    def finder(kind: PersonalData, recogniser: EntityRecognizer) -> Finder:
        def find(text: str) -> Iterator[Span]:
            for result in recogniser.analyze(text, recogniser.supported_entities, without_words):
                if result.score >= LEAST_SCORE:
                    yield Span(result.start, result.end, kind)

        return find

    return (finder(kind, recognisers[kind]) for kind in settings.kinds if kind in recognisers)


def _secrets() -> Iterator[Finder]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector
    from detect_secrets.plugins.ip_public import IPPublicDetector
    from detect_secrets.plugins.jwt import JwtTokenDetector
    from detect_secrets.plugins.private_key import PrivateKeyDetector

    class MoreKeys(RegexBasedDetector):
        secret_type = "More private keys"
        denylist = (re.compile(KEY_LINE),)

    class MoreTokens(RegexBasedDetector):
        secret_type = "More tokens"
        denylist = tuple(re.compile(rf"(?<![A-Za-z0-9]){token}", re.ASCII) for token in TOKENS)

    def finder(detector: RegexBasedDetector) -> Finder:
        # The detector's own analyze_string returns parts of a match, without positions.
        def find(text: str) -> Iterator[Span]:
            for pattern in detector.denylist:
                for match in pattern.finditer(text):
                    if isinstance(detector, JwtTokenDetector) and not detector.is_formally_valid(
                        match.group()
                    ):
                        continue
                    is_key = isinstance(detector, PrivateKeyDetector | MoreKeys)
                    yield _whole_secret(text, match.start(), match.end(), is_key)

        return find

    known: list[type] = list(get_mapping_from_secret_type_to_class().values())
    for detector in (*known, MoreKeys, MoreTokens):
        if issubclass(detector, RegexBasedDetector) and detector is not IPPublicDetector:
            yield finder(detector())


def _whole_secret(text: str, start: int, end: int, is_key: bool) -> Span:
    """Extend a match to the whole secret: detectors match its start, or a key's first line."""
    while start > 0 and VISIBLE.fullmatch(text[start - 1]):
        start -= 1
    if is_key:
        last_line = text.find(f"{KEY_EDGE}END", end)
        edge = text.find(KEY_EDGE, last_line + len(KEY_EDGE)) if last_line >= 0 else -1
        return Span(start, edge + len(KEY_EDGE) if edge >= 0 else len(text), "secret")
    rest = VISIBLE.match(text, end)
    return Span(start, rest.end() if rest else end, "secret")
