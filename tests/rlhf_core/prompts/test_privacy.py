"""What is found, what is not, and how it is masked; numbers are those set aside for tests."""

import sys

import pytest

from rlhf_core.config.prompts import PrivacySettings
from rlhf_core.errors import ConfigError
from rlhf_core.prompts import privacy
from rlhf_core.prompts.privacy import mask_personal_data, personal_data

SETTINGS = PrivacySettings(policy="mask")
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n8Zg==\n-----END RSA PRIVATE KEY-----"
# Put together here, so that no scanner takes this file for a leak.
GITHUB, AWS = "ghp_" + "a1B2" * 9, "AKIA" + "ABCD1234" * 2

SOME, HEX = "a1B2c3D4" * 12, "0123456789abcdef" * 4
# Letter by letter as their makers document them, but for the random part.
TOKENS = {
    "GitHub, fine-grained": "github_pat_" + SOME[:22] + "_" + SOME[:59],
    "GitHub": GITHUB,
    "Anthropic": "sk-ant-" + "api03-" + SOME[:90] + "-AA",
    "OpenAI": "sk-" + SOME[:20] + "T3BlbkFJ" + SOME[:20],
    "OpenAI, project": "sk-proj-" + SOME[:70] + "T3BlbkFJ" + SOME[:70],
    "OpenAI, service": "sk-svcacct-" + SOME[:70] + "_T3BlbkFJ-" + SOME[:70],
    "Hugging Face": "hf_" + "aBcDeFgHiJkLmNoPq" * 2,
    "GitLab": "glpat-" + SOME[:20],
    "Slack, bot": "xoxb-" + "12345678901-123456789012-" + SOME[:24],
    "Slack, app": "xapp-" + "1-A0123ABCD-1234567890123-" + HEX,
    "AWS": AWS,
    "Google": "AIza" + SOME[:35],
    "Google, client": "GOCSPX-" + SOME[:28],
    "Google, access": "ya29." + SOME,
    "Stripe": "sk_live_" + SOME[:24],
    "Stripe, test": "sk_test_" + SOME[:24],
    "npm": "npm_" + SOME[:36],
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + SOME[:80],
    "SendGrid": "SG." + SOME[:22] + "." + SOME[:43],
    "Groq": "gsk_" + SOME[:52],
    "xAI": "xai-" + SOME[:80],
    "NVIDIA": "nvapi-" + SOME[:64],
    "Perplexity": "pplx-" + SOME[:48],
    "Replicate": "r8_" + SOME[:37],
    "DigitalOcean": "dop_v1_" + HEX,
    "Shopify": "shpat_" + HEX[:32],
    "Supabase": "sbp_" + HEX[:40],
    "Databricks": "dapi" + HEX[:32],
    "Linear": "lin_api_" + SOME[:40],
    "Svix": "whsec_" + SOME[:32],
    "Vault": "hvs." + SOME[:90],
    "Terraform": SOME[:14] + ".atlasv1." + SOME[:64],
    "Atlassian": "ATATT3xFfGF0" + SOME,
    "age": "AGE-SECRET-KEY-1" + "QPZRY9X8" * 7 + "QQ",
}


def mask(text: str, settings: PrivacySettings = SETTINGS) -> str:
    return mask_personal_data(text, settings)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail ann.lee+x@example.com, please.", "Mail [EMAIL], please."),
        ("Call +44 20 7946 0018 now", "Call [PHONE] now"),
        ("Call (212) 555-0123.", "Call [PHONE]."),
        ("Card 4111 1111 1111 1111.", "Card [CREDIT_CARD]."),
        ("IBAN DE89 3704 0044 0532 0130 00, thanks", "IBAN [IBAN], thanks"),
        ("From 203.0.113.7 and 2001:db8::1", "From [IP_ADDRESS] and [IP_ADDRESS]"),
        (f"token {GITHUB} or {AWS} ok", "token [SECRET] or [SECRET] ok"),
        (f"My key:\n{KEY}\nHelp!", "My key:\n[SECRET]\nHelp!"),
        (f"My key: {KEY[:50]}", "My key: [SECRET]"),
        (f'{{"jwt": "{JWT}"}}', '{"jwt": "[SECRET]"}'),
        (f"My key:\n{KEY.replace('RSA', 'ENCRYPTED')}\nHelp!", "My key:\n[SECRET]\nHelp!"),
        ("see https://ann:s3cret@db.example.com/x for it", "see [SECRET] for it"),
        (f"日本語{GITHUB}日本語", "日本語[SECRET]日本語"),
    ],
)
@pytest.mark.extra("presidio_analyzer")
def test_personal_data_is_found_and_masked(text: str, expected: str):
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Card 4111 1111 1111 1112",  # the check digit is wrong
        "IBAN DE88 3704 0044 0532 0130 00",  # so is this one's
        "ann@nowhere.notatld or @ann",
        "Tom earned $350000 in 1681, or 164.25 a share, at 3900/15.",
        "In 1989, 12345678 people; pi is 3.14159265358979.",
        "std::vector<int> at 10:30, version 1.2.3",
        "eyJhbGciOiJIUzI1NiJ9x.eyJzdWIi and BEGIN the work",
        "My name is Ann Lee and I live at 5 High Street.",
        "from huggingface_hub import hf_hub_download, hf_raise_for_status_of_every_response",
        "npm_config_registry_of_this_project=x make npm_run_all_the_scripts_in_parallel_please",
        ".sk-ant-design-card-with-a-header-and-a-footer-2 { color: #a1b2c3 }",
        "sk-learn, sk_test_split, sk-admin-dashboard-navigation-sidebar-v2, sbp_ratio, dapi.get()",
        "xai-explainability-of-large-language-models-in-2024-a-survey, xapp-android-release-1",
        "class AIzawaPrefectureTaxOfficeBranchNumber3(Base): hvs = hvs.velocity_surface(ya29.x)",
        "commit 0123456789abcdef0123456789abcdef01234567 and sha256:" + "0123456789abcdef" * 4,
        "dGhpcyBpcyBub3QgYSBzZWNyZXQsIGp1c3QgYmFzZTY0IHRleHQgb2Ygc29tZSBsZW5ndGg=",
        "",
    ],
)
@pytest.mark.extra("presidio_analyzer")
def test_what_is_no_personal_data_by_its_own_rules_stays(text: str):
    assert personal_data(text, SETTINGS) == []


@pytest.mark.parametrize("maker", TOKENS)
@pytest.mark.parametrize("around", ["use {} now", "export KEY={}\n", "KEY: '{}',", "日本語{}。"])
@pytest.mark.extra("presidio_analyzer")
def test_tokens_of_services_are_found(maker: str, around: str):
    masked_text = mask(around.format(TOKENS[maker]))
    assert "[SECRET]" in masked_text
    assert not any(part in masked_text for part in (SOME[:14], HEX[:14], "aBcDeF", "QPZRY"))


@pytest.mark.extra("presidio_analyzer")
def test_all_of_a_token_goes_with_its_signature():
    """The detector itself ends before the signature, and names only the first line of a key."""
    for secret in (JWT, KEY, GITHUB):
        (span,) = personal_data(f"a {secret} b", SETTINGS)
        assert (span.start, span.end) == (2, 2 + len(secret))


@pytest.mark.extra("presidio_analyzer")
def test_where_two_kinds_overlap_one_placeholder_covers_both():
    assert mask("https://ann:pw@example.com/?to=ann@example.com !") == "[SECRET] !"


@pytest.mark.extra("presidio_analyzer")
def test_only_the_kinds_that_are_asked_for_are_found():
    only = PrivacySettings(policy="mask", kinds=("email",))
    assert mask(f"ann@example.com {AWS} 203.0.113.7", only) == f"[EMAIL] {AWS} 203.0.113.7"


@pytest.mark.extra("presidio_analyzer")
def test_phone_numbers_without_a_country_code_are_those_of_the_named_countries():
    text = "Ring 06 12 34 56 78"
    france, america = (PrivacySettings(policy="mask", phone_regions=(r,)) for r in ("FR", "US"))
    assert mask(text, france) == "Ring [PHONE]"
    assert mask(text, america) == text


@pytest.mark.extra("presidio_analyzer")
def test_numbers_side_by_side_do_not_hide_each_other():
    """At first sight the phone number's end and the address look like one number."""
    assert mask_personal_data("+44 20 7946 0018 203.0.113.7", SETTINGS) == (
        "[PHONE] [IP_ADDRESS]",
        {"phone": 1, "ip_address": 1},
    )


@pytest.mark.extra("presidio_analyzer")
def test_placeholders_are_not_found_again():
    """Else looking through a text until nothing is found would have no end."""
    for kind in SETTINGS.kinds:
        for around in ("{}", "a {} b", "{}{}", "+1{}23", "x@{}.com", "={}:"):
            assert personal_data(around.format(*[f"[{kind.upper()}]"] * 2), SETTINGS) == []


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    privacy._finders.cache_clear()
    with pytest.raises(ConfigError, match=r"policy: count needs `pip install 'solon\[privacy\]'`"):
        personal_data("text", PrivacySettings(policy="count"))
    privacy._finders.cache_clear()
