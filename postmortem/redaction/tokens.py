"""Known forms of tokens and keys, one row each: what issues them, what every one contains, what one looks like.

Prefixes and lengths are the issuers' own; where one publishes no length, a short one is enough. The rows cover what the
regular expressions of detect-secrets 1.5 find (tests/postmortem/redaction/test_tokens.py), which itself takes 0.4 s to
import (docs/adr/0005-redaction.md). `part`: what a match must contain, searched first, since most reports have none.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHORTEST = 14
"""Characters of the shortest token."""


class Token(NamedTuple):
    """kind: as counted in the report. parts: every match contains one of them."""

    kind: str
    issuer: str
    parts: tuple[str, ...]
    pattern: str
    shortest: int = SHORTEST


PRIVATE_KEY = "private key"
_T, _K, _H = "token", PRIVATE_KEY, "password hash"

TOKENS = (
    Token(_K, "PEM private keys, whole or cut", ("PRIVATE KEY",),
          r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,16384}+(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"),
    Token(_K, "PuTTY private keys", ("Private-Lines:",), r"(?<=Private-Lines:).{1,8192}"),
    Token(_K, "OpenSSH private keys without their first line", ("b3BlbnNzaC1rZXktdjE",), r"\bb3BlbnNzaC1rZXktdjE[\w+/=\\\s]*"),
    Token(_K, "RSA private keys in base64 without their first line", ("MII",),
          r"\bMII(?:E[opqv]|J[KQR]|C[XWd])[A-Za-z0-9+/]{40,}(?:(?:\\n|\s)?[A-Za-z0-9+/]{10,})*={0,2}"),
    Token(_K, "age", ("AGE-SECRET-KEY-",), r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}"),
    Token(_T, "JSON Web Tokens", ("eyJ",),
          r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}"
          r"|\beyJ(?:hbGci|0eXAi|raWQi|jdHki|lbmMi|4NXQi|qa3Ui)[A-Za-z0-9_-]*\.?"),
    Token(_T, "PASETO", (".local.", ".public."), r"\bv[1-4]\.(?:local|public)\.[\w-]{20,}(?:\.[\w-]+)?"),
    Token(_T, "Fernet", ("gAAAAA",), r"\bgAAAAA[\w-]{40,}={0,2}"),
    Token(_H, "crypt(3), bcrypt, Argon2, scrypt, apr1", ("$1$", "$2$", "$2a$", "$2b$", "$2x$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$apr1$", "$argon2", "$scrypt$", "$pbkdf2", "$sha1$"),
          r"\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|argon2(?:id?|d)|scrypt|pbkdf2[\w-]{0,16}|sha1)\$[^\s:'\"]{12,}"),
    Token(_H, "Django, LDAP", ("pbkdf2_", "bcrypt_sha", "{SSHA", "{SHA", "{CRYPT}"),
          r"\b(?:pbkdf2_\w+|bcrypt_sha\w+)\$[^\s:'\"]{12,}|\{(?:SSHA\d*|SHA\d*|CRYPT)\}[^\s'\"]{8,}"),
    Token(_T, "AWS access key ids", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"), r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{12,}"),
    Token(_T, "AWS secret access keys behind their ids", ("AKIA", "ASIA"), r"(?<=A[KS]IA[A-Z0-9]{16})[\s/:,;|\"']{1,8}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
    Token(_T, "AWS signatures", ("AWS4-HMAC", "AWS "), r"\bAWS4-HMAC-SHA256\b[^\r\n\"']{8,}|\bAWS [A-Z0-9]{16,}:[\w+/=]{8,}"),
    Token(_T, "AWS secret access keys, with a word for one before them", ("aws", "AWS", "Aws"),
          r"(?i:aws).{0,20}?(?i:key|pwd|pw|password|pass|token|secret).{0,20}?['\"=: ][0-9A-Za-z/+]{40}(?![0-9A-Za-z/+])"),
    Token(_T, "npm's configuration", ("_authToken=", "_auth=", "_password="), r"(?<=_authToken=)\s*[^\s\[]\S*|(?<=_auth=)\s*[^\s\[]\S*|(?<=_password=)\s*[^\s\[]\S*"),
    Token(_T, "AWS MWS", ("amzn.mws.",), r"\bamzn\.mws\.[0-9a-f-]{16,}"),
    Token(_T, "GitHub", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,})"),
    Token(_T, "GitLab", ("glpat-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "glimt-", "gloas-", "glffct-", "glwt-", "GR1348941"),
          r"\b(?:gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|agent|imt|oas|ffct|wt)-[\w.-]{16,}|GR1348941[\w-]{16,})"),
    Token(_T, "Slack", ("xox", "xapp-", "xwfp-"), r"\b(?:xox[a-zA-Z]|xapp|xwfp)[.-][A-Za-z0-9.-]{6,}|\bxox[a-z]-\d[\w-]*"),
    Token(_T, "Google API keys", ("AIza",), r"AIza[\w-]{28,}"),
    Token(_T, "Google OAuth", ("GOCSPX-", "ya29.", "1//0"), r"\bGOCSPX-[\w-]{16,}|\bya29\.[\w-]{16,}|\b1//0[\w-]{24,}"),
    Token(_T, "Firebase Cloud Messaging", ("AAAA",), r"\bAAAA[\w-]{7}:[\w-]{60,}"),
    Token(_T, "Stripe, Paystack, Lob", ("_live_", "_test_", "_prod_", "whsec_"),
          r"\b(?:sk|rk|pk)_(?:live|test|prod)_\w{10,}|\b(?:live|test)_(?:pub_)?[a-f0-9]{35}\b|\bwhsec_[\w+/=]{16,}"),
    Token(_T, "Square", ("sq0", "EAAA"), r"\bsq0[a-z]{3}-[\w\\-]{20,}|\bEAAA[\w+=-]{56,}"),
    Token(_T, "PayPal, Braintree", ("access_token$",), r"\baccess_token\$\w+\$\w+\$?\w*"),
    Token(_T, "Razorpay, Flutterwave, Plaid, Shippo, Duffel, EasyPost",
          ("rzp_", "FLWSECK", "access-", "shippo_", "duffel_", "EZAK", "EZTK"),
          r"\brzp_(?:live|test)_\w{10,}|\bFLWSECK(?:_TEST)?-\w{10,}(?:-X)?|\baccess-(?:sandbox|development|production)-[0-9a-f-]{20,}"
          r"|\bshippo_(?:live|test)_\w{16,}|\bduffel_(?:live|test)_[\w-]{16,}|\bEZ[AT]K\w{30,}"),
    Token(_T, "Shopify", ("shp",), r"\bshp(?:at|ca|pa|ss|ua)_\w{20,}"),
    Token(_T, "package registries", ("npm_", "pypi-", "rubygems_", "CLOJARS_", "oy2", "cio"),
          r"\bnpm_\w{24,}|\bpypi-[\w-]{16,}|\brubygems_[a-f0-9]{24,}|\bCLOJARS_\w{32,}|\boy2[a-z0-9]{43}\b|\bcio[A-Za-z0-9]{32}\b"),
    Token(_T, "Docker Hub", ("dckr_",), r"\bdckr_[a-z]{3}_[\w-]{16,}"),
    Token(_T, "JFrog", ("AKC", "cmVmdGtuO"), r"\bAKC[a-zA-Z0-9]{10,}|\bcmVmdGtuO[\w-]{20,}"),
    Token(_T, "DigitalOcean", ("_v1_",), r"\bdo[opr]_v1_[a-f0-9]{32,}"),
    Token(_T, "Databricks", ("dapi", "dose"), r"\b(?:dapi|dose)[0-9a-f]{32}(?:-\d)?"),
    Token(_T, "language model services", ("sk-", "hf_", "api_org_", "gsk_", "r8_", "pplx-", "xai-", "fw_", "tgp_"),
          r"\bsk-(?=[\w-]*\d)[\w-]{16,}|\b(?:hf|api_org)_[A-Za-z]{30,}|\bhf_\w{30,}|\bgsk_\w{24,}|\br8_\w{24,}|\bpplx-\w{24,}|\bxai-\w{30,}"),
    Token(_T, "HashiCorp", ("hvs.", "hvb.", "hvr.", ".atlasv1."), r"\bhv[sbr]\.[\w-]{16,}|\b\w{14}\.atlasv1\.[\w=-]{30,}"),
    Token(_T, "Grafana", ("glsa_", "glc_"), r"\bgl(?:sa|c)_[\w+/=]{20,}"),
    Token(_T, "New Relic", ("NRAK-", "NRJS-", "NRII-", "NRSP-", "NRIQ-", "NRAA-", "NRRA-"), r"\bNR(?:AK|JS|II|SP|IQ|AA|RA)-[A-Za-z0-9-]{16,}"),
    Token(_T, "Sentry", ("sntry",), r"\bsntry[su]_[\w+/=]{20,}"),
    Token(_T, "Dynatrace", ("dt0",), r"\bdt0[a-z]\d\d\.[A-Z0-9]{20,}\.[A-Z0-9]{20,}"),
    Token(_T, "Linear, Notion, Figma, Contentful, Typeform, Postman, Supabase, PlanetScale, Pulumi, Prefect, Netlify",
          ("lin_", "ntn_", "secret_", "figd_", "CFPAT-", "tfp_", "PMAK-", "sbp_", "pscale_", "pul-", "pnu_", "pnb_", "nfp_"),
          r"\blin_(?:api|oauth)_\w{24,}|\bntn_\w{30,}|\bsecret_\w{40,}|\bfigd_[\w-]{24,}"
          r"|\bCFPAT-[\w-]{24,}|\btfp_[\w.-]{30,}|\bPMAK-[0-9a-f-]{24,}|\bsb[ps]_\w{30,}|\bpscale_\w{2,5}_[\w.-]{24,}"
          r"|\bpul-[0-9a-f]{40}|\bpn[ub]_\w{36}|\bnfp_\w{30,}"),
    Token(_T, "Airtable", ("pat",), r"\bpat\w{14}\.[0-9a-f]{40,}", 58),
    Token(_T, "Atlassian", ("ATATT3", "ATBB", "ATCTT3", "ATSTT3"), r"\bAT(?:ATT3|BB|CTT3|STT3)[\w=-]{16,}"),
    Token(_T, "SendGrid", ("SG.",), r"\bSG\.[\w-]{10,}\.[\w-]{10,}"),
    Token(_T, "Mailgun, Mailchimp", ("key-", "-us"), r"\bkey-[0-9a-f]{32}\b|\b[0-9a-z]{32}-us\d{1,2}\b"),
    Token(_T, "Sendinblue", ("xkeysib-", "xsmtpsib-"), r"\bx(?:key|smtp)sib-[0-9a-f]{40,}(?:-\w+)?"),
    Token(_T, "Twilio", ("SK", "AC"), r"\b(?:SK|AC)[0-9a-z]{32}\b", 34),
    Token(_T, "Telegram", (":AA",), r"\b\d{8,10}:AA[\w-]{20,}", 30),
    Token(_T, "Facebook", ("EAA",), r"\bEAA[A-Za-z0-9]{60,}"),
    Token(_T, "Doppler, Fly, Heroku, Tailscale, CircleCI, Buildkite, SonarQube, Octopus, Scalingo, ReadMe",
          ("dp.", "fo1_", "FlyV1", "HRKU-", "tskey-", "CCIPAT_", "CCPPAT_", "bkua_", "bkaj_", "bkpi_", "sqp_", "sqa_", "sqb_", "squ_", "API-", "tk-us-", "rdme_"),
          r"\bdp\.[a-z]{2,6}(?:\.[\w-]{1,40})?\.\w{30,}|\bfo1_[\w-]{24,}|\bFlyV1 [\w+/=,-]{24,}|\bHRKU-[\w-]{24,}"
          r"|\btskey-[\w-]{16,}|\bCC[IP]PAT_\w{16,}|\bbk[a-z]{2}_[0-9a-f]{32,}|\bsq[abpu]_[0-9a-f]{40}"
          r"|\bAPI-[A-Z0-9]{26}\b|\btk-us-[\w-]{40,}|\brdme_\w{60,}"),
    Token(_T, "Azure AD", ("Q~",), r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    Token(_T, "Okta", ("SSWS",), r"\bSSWS\s+[\w-]{16,}"),
    Token(_T, "Cloudflare", ("v1.0-",), r"\bv1\.0-[0-9a-f]{24}-[0-9a-f]{60,}"),
    Token(_T, "Alibaba, Tencent, Yandex", ("LTAI", "AKID", "AQVN", "y0_", "t1."),
          r"\bLTAI\w{12,}|\bAKID\w{13,}|\bAQVN[\w-]{30,}|\by[0-3]_[\w-]{50,}|\bt1\.[A-Z0-9a-z_-]+={0,2}\.[\w-]{80,}={0,2}"),
    Token(_T, "Dropbox", ("sl.",), r"\bsl\.[\w-]{100,}"),
    Token(_T, "Discord bots", ("MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"), r"\b[MNO][A-Za-z\d_-]{22,27}\.[\w-]{6}\.[\w-]{27,40}", 57),
    Token(_T, "1Password", ("ops_eyJ", "A3-"), r"\bops_eyJ[\w+/=-]{40,}|\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{5,6}-?){4,6}"),
    Token(_T, "Mapbox", ("k.eyJ",), r"\b[spt]k\.eyJ[\w.-]{20,}"),
    Token(_T, "LaunchDarkly", ("sdk-", "mob-", "api-"), r"\b(?:sdk|mob|api)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"),
    Token(_T, "frameworks' signing keys", ("django-insecure-", "base64:"), r"django-insecure-\S{16,}|\bbase64:[A-Za-z0-9+/]{40,}={0,2}"),
    Token(_T, "NATS seeds", ("SU", "SA", "SO", "SC", "SN"), r"\bS[UAOCN][A-Z2-7]{56}\b", 58),
    Token(_T, "Kubernetes bootstrap tokens", ("bootstrap",), r"(?<=bootstrap-token-)[a-z0-9]{6}\b"),
    Token("url", "webhooks", ("hooks.", "/webhooks/", "webhook", "/bot", "/trigger", "ifttt"),
          r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/+-]{5,}|(?<=/api/webhooks/)\d{5,}/[\w-]{16,}"
          r"|(?<=webhook\.office\.com/)[\w@./-]{16,}|(?<=outlook\.office\.com/webhook/)[\w@./-]{16,}"
          r"|(?<=hooks\.zapier\.com/)hooks/catch/[\w/]{6,}|(?<=api\.telegram\.org/)(?:file/)?bot[\w:-]{10,}"
          r"|(?<=/with/key/)[\w-]{10,}|(?<=discord\.com/api/webhooks/)[\w/-]{16,}"),
)  # fmt: skip


def starts_of(texts: Iterable[str]) -> list[int]:
    """Where each text begins when they are joined by line ends, and the end."""
    return [0, *itertools.accumulate(len(one) + 1 for one in texts)]


def holding(texts: Sequence[str], joined: str, starts: Sequence[int], marks: Iterable[str]) -> set[str]:
    """Those of the texts that hold one of the marks. joined: all of them, in lower case perhaps."""
    found = set()
    for mark in marks:
        place = joined.find(mark)
        while place >= 0:
            index = bisect_right(starts, place) - 1
            found.add(texts[index])
            place = joined.find(mark, max(starts[index + 1] - 1, place + 1))
    return found


def active(texts: Sequence[str], joined: str) -> tuple[re.Pattern[str] | None, tuple[str, ...]]:
    """One pattern of all the tokens that are in some texts, with a group for each kind, and the parts that show one."""
    kinds: dict[str, list[str]] = {}
    parts: list[str] = []
    starts: list[int] = []
    for token in TOKENS:
        here = [part for part in token.parts if part in joined]
        if not here:
            continue
        starts = starts or starts_of(texts)
        long = [text for text in holding(texts, joined, starts, here) if len(text) >= token.shortest]
        if long and any(map(_compiled(token.pattern).search, long)):
            kinds.setdefault(token.kind, []).append(token.pattern)
            parts += here
    groups = [f"(?P<{kind.replace(' ', '_')}>{'|'.join(patterns)})" for kind, patterns in kinds.items()]
    return (_compiled("|".join(groups)) if groups else None), tuple(parts)


def _compiled(pattern: str) -> re.Pattern[str]:
    # A token begins also behind a line end that is written as an escape.
    return re.compile(pattern.replace(r"\b", r"(?:\b|(?<=\\[nrt]))"), re.DOTALL)
