"""What detect-secrets' expressions of known tokens match, ours mask."""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from postmortem.redaction import mask_text
from postmortem.redaction.tokens import TOKENS

detect_secrets = pytest.importorskip("detect_secrets")

# By entropy or by the name beside them: not tokens of a known form. Addresses of machines are no secrets.
_OTHER = {"high_entropy_strings", "keyword", "ip_public", "base"}
# Matched together with the name in front of them, or too short to be told from a word.
_BY_NAME = {"cloudant", "ibm_cloud_iam", "ibm_cos_hmac", "softlayer", "basic_auth", "azure_storage_key", "artifactory"}
# Ours look more closely: the token of a Telegram bot begins with AA, a Discord bot's with its number in base64.
_BY_NAME |= {"telegram_token", "discord"}
# Matched by their first line, which is none of the secret; by dots alone.
_FIRST_LINE = {"private_key", "jwt"}
_LEAST = 20


def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    import detect_secrets.plugins as plugins
    from detect_secrets.plugins.base import RegexBasedDetector

    found = []
    for module in pkgutil.iter_modules(plugins.__path__):
        if module.name in _OTHER | _BY_NAME | _FIRST_LINE:
            continue
        for kind in vars(importlib.import_module(f"detect_secrets.plugins.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, RegexBasedDetector) and kind is not RegexBasedDetector:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found += [(f"{module.name}-{index}", one) for index, one in enumerate(kind().denylist)]
    return found


_PATTERNS = _patterns()


def test_there_are_patterns() -> None:
    assert len(_PATTERNS) > 20


@pytest.mark.parametrize("pattern", [pattern for _, pattern in _PATTERNS], ids=[name for name, _ in _PATTERNS])
def test_what_it_finds_is_masked(pattern: re.Pattern[str]) -> None:
    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.from_regex(re.compile(pattern.pattern, re.ASCII), fullmatch=True))
    def check(text: str) -> None:
        # Expressions without lengths match what no issuer gives out.
        assume(len(text) >= _LEAST and re.search(r"[\w-]{8}", text) is not None)
        assert mask_text(f"got {text} there") != f"got {text} there", text

    check()


def test_every_row_has_parts_that_its_tokens_contain() -> None:
    for token in TOKENS:
        for _ in range(3):
            assert token.parts and all(token.parts)
        assert re.compile(token.pattern, re.DOTALL)
