"""Redaction: secrets in a text replaced by their kind, such as `[redacted: api key]`.

A rule finds one kind of secret: by its form, as most providers give their keys a beginning of their own, or by the name
beside it, as in `password=...`. A rule looks at a text only if one of its hints is in it, so texts without secrets cost
a few searches for short strings. Placeholders such as `<token>` or `$TOKEN` are no secrets.

The rules cannot know every secret. What has neither a known form nor a telling name stays.

Source: the rules of detect-secrets, gitleaks and GitHub's secret scanning, and the documents of the providers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

_Json = Any

_API_KEY, _TOKEN, _PRIVATE_KEY, _PASSWORD, _COOKIE = "api key", "token", "private key", "password", "cookie"
_NAME: Final = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|api[_\- ]?keys?|access[_\- ]?keys?|account[_\- ]?key|"
    r"auth[_\- ]?keys?|private[_\- ]?key|signing[_\- ]?key|encryption[_\- ]?key|client[_\- ]?secret|credentials?)"
)
_ENDING: Final = (
    r"(?:[_\-]?(?:access|key|value|hash|base64|b64|prod(?:uction)?|staging|dev|test|live|string|\d{1,4})){0,3}"
)
_NAME_HINTS: Final = ("pass", "pwd", "secret", "token", "key", "credential")
_QUOTE: Final = r"""(?:\\*["'`])"""
_PLACEHOLDER: Final = re.compile(
    r"(?i)[<$%{\[(].*|.*(?:x{4}|\*{3}|\.{3}|…|redacted|placeholder|example|changeme|your[_-]).*|"
    r"(?:none|null|nil|true|false|undefined|required|optional|string|number|missing|invalid|expired|incorrect|wrong)\W*"
)
_PLAIN: Final = re.compile(r"[A-Za-z]+\W*|[A-Za-z_][\w.]*[(\[].*|[\d.,:]+|[A-Za-z_]+(?:[._][A-Za-z_]+)+")
_LONG: Final = r"[A-Za-z0-9_\-]"


class _Rule(NamedTuple):
    """A kind of secret: texts with one of the hints may have it; the group `it`, or the whole match, is the secret."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    is_named: bool = False


def _form(kind: str, pattern: str, *hints: str) -> _Rule:
    return _Rule(kind, hints, re.compile(pattern))


_FORMS: Final = (
    _form(
        _PRIVATE_KEY,
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        "PRIVATE KEY",
    ),
    _form(_PRIVATE_KEY, r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "AGE-SECRET-KEY"),
    _form(_PASSWORD, r"(?<=://)[^\s/?#:@\"'<>]{0,256}:(?P<it>[^\s/?#\"'<>]{1,256})(?=@)", "://"),
    _form(_PASSWORD, r"(?:\s-u|--user|--proxy-user)[ =]+[\"']?[^\s:\"']+:(?P<it>[^\s\"']+)", "-u", "--user", "--proxy"),
    _form(_TOKEN, rf"(?<![A-Za-z0-9_\-])eyJ{_LONG}{{8,}}\.eyJ{_LONG}{{8,}}\.{_LONG}{{8,}}", "eyJ"),
    _form(_API_KEY, r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA|ANVA)[A-Z0-9]{16}\b", "A"),
    _form(_TOKEN, r"\bgh[pousr]_[A-Za-z0-9]{30,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}", "gh", "github_pat_"),
    _form(_TOKEN, rf"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-{_LONG}{{20,}}", "gl"),
    _form(_API_KEY, rf"\bsk-{_LONG}{{20,}}", "sk-"),
    _form(_API_KEY, rf"\bAIza{_LONG}{{35}}|\bGOCSPX-{_LONG}{{20,}}|\bya29\.{_LONG}{{20,}}", "AIza", "GOCSPX-", "ya29."),
    _form(_TOKEN, r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{20,}", "xox", "xapp-"),
    _form(_TOKEN, r"hooks\.slack\.com/services/(?P<it>T\w+/B\w+/\w+)", "hooks.slack.com"),
    _form(_TOKEN, rf"discord(?:app)?\.com/api/webhooks/\d+/(?P<it>{_LONG}{{40,}})", "/api/webhooks/"),
    _form(
        _API_KEY,
        r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9+/=]{24,}",
        "_live_",
        "_test_",
        "whsec_",
    ),
    _form(_API_KEY, rf"\bSG\.{_LONG}{{16,}}\.{_LONG}{{16,}}", "SG."),
    _form(_API_KEY, r"\bSK[0-9a-f]{32}\b", "SK"),
    _form(
        _TOKEN,
        rf"\bnpm_[A-Za-z0-9]{{30,}}|\bpypi-{_LONG}{{50,}}|\bdckr_pat_{_LONG}{{20,}}",
        "npm_",
        "pypi-",
        "dckr_pat_",
    ),
    _form(_TOKEN, r"\bhf_[A-Za-z0-9]{30,}|\br8_[A-Za-z0-9]{30,}|\bck_[A-Za-z0-9_-]{32,}", "hf_", "r8_", "ck_"),
    _form(
        _API_KEY,
        r"\b(?:gsk_|xai-|pplx-|fw_|nvapi-|lin_api_|ntn_|shp(?:at|ca|pa|ss)_|dop_v1_|dapi|PMAK-|key-)[A-Za-z0-9_-]{30,}",
        "gsk_",
        "xai-",
        "pplx-",
        "fw_",
        "nvapi-",
        "lin_api_",
        "ntn_",
        "shp",
        "dop_v1_",
        "dapi",
        "PMAK-",
        "key-",
    ),
    _form(_TOKEN, rf"\bhv[sb]\.{_LONG}{{20,}}|\bdp\.(?:pt|st|ct)\.{_LONG}{{20,}}", "hvs.", "hvb.", "dp."),
    _form(_TOKEN, rf"(?<!\d)\d{{8,10}}:AA{_LONG}{{33}}(?![A-Za-z0-9_\-])", ":AA"),
    _form(_TOKEN, rf"\b[MNO][A-Za-z0-9_-]{{23,27}}\.{_LONG}{{6}}\.{_LONG}{{27,}}", "."),
    _form(
        _TOKEN, r"(?i)\b(?:bearer|basic|token)\s+(?P<it>[A-Za-z0-9_\-.~+/]{16,}=*)", "earer", "asic", "oken", "EARER"
    ),
    _form(_COOKIE, r"(?i)\b(?:set-)?cookie[\"']?\s*:\s*[\"']?(?P<it>[^\r\n\"']{8,})", "ookie", "OOKIE"),
)
_NAMED: Final = (
    _Rule(
        _PASSWORD,
        _NAME_HINTS,
        re.compile(
            rf"(?i)(?P<name>{_NAME}){_ENDING}{_QUOTE}?(?P<sign>\s*(?:=>|:=|==?|:)\s*)"
            rf"(?:(?P<quote>{_QUOTE})(?P<quoted>(?:(?!(?P=quote))[^\r\n]){{4,512}})(?P=quote)|(?P<bare>[^\s\"'`,;&<>\\]{{6,512}}))"
        ),
        is_named=True,
    ),
    _Rule(
        _PASSWORD,
        _NAME_HINTS,
        re.compile(rf"(?i)--(?P<name>{_NAME})[ =]+(?P<quote>[\"']?)(?P<quoted>[^\s\"']{{6,512}})(?P=quote)"),
        is_named=True,
    ),
    _Rule(
        _PASSWORD,
        _NAME_HINTS,
        re.compile(rf"(?i)<(?P<name>{_NAME})>\s*(?P<quoted>[^<\s][^<]{{3,512}})</"),
        is_named=True,
    ),
    _Rule(
        _PASSWORD,
        _NAME_HINTS,
        re.compile(rf"(?i)\b(?P<name>{_NAME})\s+is:?\s+(?P<quote>[\"'`]?)(?P<bare>[^\s\"'`,;]{{6,512}})(?P=quote)"),
        is_named=True,
    ),
)


class Redaction:
    """The masking of one export or import, with a count of what it masked."""

    def __init__(self) -> None:
        """Begin without any."""
        self.counts: Counter[str] = Counter()
        """How many secrets of each kind were masked."""

    def value(self, value: _Json) -> Any:  # noqa: ANN401 - any JSON
        """Return a JSON value with masked texts; a text under a telling name is a secret as a whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, dict):
            return {self.text(name): self._under(name, inner) for name, inner in value.items()}
        return value

    def text(self, text: str) -> str:
        """Return a text with masked secrets."""
        for rule in _FORMS:
            if any(hint in text for hint in rule.hints):
                text = rule.pattern.sub(self._masking(rule), text)
        lower = text.lower()
        for rule in _NAMED:
            if any(hint in lower for hint in rule.hints):
                text = rule.pattern.sub(self._masking(rule), text)
        return text

    def _under(self, name: str, value: _Json) -> _Json:
        is_told = isinstance(value, str) and not value.isdecimal() and _TELLING.fullmatch(name)
        if is_told and _is_secret(value, is_sure=True):
            return self._mask(_kind_of(name))
        return self.value(value)

    def _masking(self, rule: _Rule) -> Callable[[re.Match[str]], str]:
        def mask(found: re.Match[str]) -> str:
            groups = found.groupdict()
            group = next((name for name in ("it", "quoted", "bare") if groups.get(name) is not None), None)
            secret = found[group] if group else found[0]
            is_sure = group == "quoted" or groups.get("sign") == "="
            if "[redacted:" in secret or (rule.is_named and not _is_secret(secret, is_sure=is_sure)):
                return found[0]
            start, end = found.span(group) if group else found.span()
            kind = _kind_of(found["name"]) if rule.is_named else rule.kind
            return found.string[found.start() : start] + self._mask(kind) + found.string[end : found.end()]

        return mask

    def _mask(self, kind: str) -> str:
        self.counts[kind] += 1
        return f"[redacted: {kind}]"


_TELLING: Final = re.compile(rf"(?i)\w{{0,40}}?[_\-]?{_NAME}{_ENDING}")


def _is_secret(text: str, *, is_sure: bool) -> bool:
    """Tell a secret from a placeholder and, unless its place is sure, from a plain word, a number or code."""
    if len(text.strip()) < 4 or _PLACEHOLDER.fullmatch(text.strip()):  # noqa: PLR2004 - nobody's secret is shorter
        return False
    return is_sure or not _PLAIN.fullmatch(text)


def _kind_of(name: str) -> str:
    lower = name.lower()
    if "pass" in lower or "pwd" in lower or "credential" in lower:
        return _PASSWORD
    if "token" in lower:
        return _TOKEN
    return _PRIVATE_KEY if "private" in lower else _API_KEY
