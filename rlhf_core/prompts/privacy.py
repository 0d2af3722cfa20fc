"""Where personal data stands in a text, by the rules of presidio-analyzer and detect-secrets.

Both match patterns and check sums, countries' numbering plans or the form of a token; no model is
loaded, and nothing is sent anywhere. Names and addresses of people are out of their reach.
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
"""Where two kinds overlap, the first gives the name."""
LEAST_SCORE = 0.4
"""presidio's own score of a phone number without words around it that speak of phones."""
VISIBLE = re.compile(r"[!#-&(-;=?-_a-~]*")
"""What a secret goes on with: ASCII that can be seen, but no quotes and no angle brackets."""
KEY_EDGE = "-----"
KEY_LINE = r"BEGIN ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-3"
# After a prefix, so much that no word or name goes on like this. [\w-] alone would also take names
# of many words with hyphens, so there a digit and a capital must come.
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
"""Tokens that detect-secrets does not know; of GitHub, Anthropic, OpenAI, OpenRouter, xAI, NVIDIA,
Perplexity, Slack, Hugging Face, Groq, npm, Replicate, Linear, Svix, DigitalOcean, Shopify,
Supabase, Databricks, Stripe, Google, Vault, Atlassian, Terraform and age."""


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    kind: PersonalData


Finder = Callable[[str], Iterator[Span]]


def personal_data(text: str, settings: PrivacySettings) -> list[Span]:
    """Where personal data stands, in order and without overlaps.

    Raises:
        ConfigError: If the packages that find it are not installed.
    """
    found = [span for finder in _finders(settings) for span in finder(text)]
    found.sort(key=lambda span: (PRIORITY.index(span.kind), span.start, span.end))
    apart: list[Span] = []
    for span in found:
        touched = [other for other in apart if other.start < span.end and span.start < other.end]
        if touched:
            start = min(span.start, *(other.start for other in touched))
            end = max(span.end, *(other.end for other in touched))
            apart = [other for other in apart if other not in touched]
            span = Span(start, end, touched[0].kind)
        apart.append(span)
    return sorted(apart, key=lambda span: span.start)


def masked(text: str, settings: PrivacySettings) -> tuple[str, Counter[str]]:
    """The text with placeholders such as [EMAIL], and how many of each kind it took.

    It is looked through again until nothing is found: of two numbers that stand side by side, one
    can keep the other from being seen.

    Raises:
        ConfigError: If the packages that find it are not installed.
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

    # What a language model would say of the text; these recognisers do not ask it.
    without_words: Any = None
    # The list that comes with tldextract; by default it fetches a newer one.
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
        # Its own analyze_string gives parts of what it found, and not where they stand.
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
    """All of a secret: detectors find its first letters, or the first line of a private key."""
    while start > 0 and VISIBLE.fullmatch(text[start - 1]):
        start -= 1
    if is_key:
        last_line = text.find(f"{KEY_EDGE}END", end)
        edge = text.find(KEY_EDGE, last_line + len(KEY_EDGE)) if last_line >= 0 else -1
        return Span(start, edge + len(KEY_EDGE) if edge >= 0 else len(text), "secret")
    rest = VISIBLE.match(text, end)
    return Span(start, rest.end() if rest else end, "secret")
