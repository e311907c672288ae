"""Which names hold secrets: variables, properties, options, fields, headers.

Names are compared by words ("keyStorePassword" is key, store, password), so that "keyboard", "tokenizer" and
"StringDeduplication" stay.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Literal

from postmortem.redaction.values import is_keyword, is_number

Strength = Literal["strong", "weak"]
"""strong: whatever the value is, it is a secret. weak: if it looks like one, or where such a thing is expected."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

STRONG = frozenset(
    """
    password passwords passwrd pswd passwd passwds passphrase passphrases passcode pwd pwds pw secret secrets token credential
    credentials cred creds apikey apikeys accesskey secretkey privatekey authtoken accesstoken bearer jwt cookie cookies
    authorization jsessionid phpsessid sessionid sessid csrftoken xsrftoken otp totp mnemonic webhook webhooks hmackey
    kennwort passwort senha contrasena haslo motdepasse userpass userpwd requirepass psk presharedkey masterauth sharedkey
    pws community
    """.split()
)
ENDINGS = (
    "password", "passwd", "passphrase", "apikey", "secretkey", "authtoken", "accesstoken", "secret", "token", "privatekey",
    "accesskey", "signingkey", "encryptionkey", "accountkey", "masterkey", "credentials", "sessionkey", "pwd", "pw",
)  # fmt: skip
_NO_ENDING = frozenset(
    "nonsecret untoken detoken subtoken retoken nexttoken stoptoken eostoken padtoken oldpwd getpw setpw endpw".split()
)
KEYS_OF = frozenset(
    """
    api access secret private priv preshared encryption encrypt signing sign master auth account shared hmac aes des rsa jwt license
    licence storage subscription deploy consumer webhook ingest cipher crypto fernet wallet host
    """.split()
) - {"host"}
WEAK = frozenset(
    """
    tok tokens key keys auth oauth basic session sid sig signature pin pat seed salt hmac sas csrf xsrf nonce assertion cvv
    cvv2 cvc ssn priv fernet kubeconfig tsig unseal pepper
    """.split()
)
# Names under which a user's own name stands, and sometimes the secret behind it: bob:SECRET.
_USERS = frozenset("login logon user userinfo userid account api connect connection conn tns dsn oracle".split())
# Services after which a variable of the environment is named that holds their key.
_VENDORS = frozenset(
    """
    airtable asana auth0 bitbucket cloudflare cohere contentful databricks datadog digitalocean discord doppler dropbox fastly
    figma github gitlab grafana groq heroku huggingface infisical linear linode mailchimp mailgun mapbox mistral monday
    netlify newrelic ngrok notion okta openai opsgenie pagerduty perplexity planetscale postman pulumi rollbar sendgrid
    sentry shopify slack sonarqube square stripe supabase telegram twilio vercel
    """.split()
)
# What a code is for that only one person has to know.
_CODES = frozenset("pin unlock pass lock recovery activation".split())
_MEASURES = frozenset(
    """
    id ids score scores rate ratio weight rank probability prob usage used budget remaining offset pos position start end
    line column col kind depth total cost priority level sum avg mean loss row begin
    """.split()
)
# Of what else something is a key: none of it is a secret.
_NO_KEYS = frozenset(
    """
    public pub primary foreign partition sort row index cache routing registry map lookup dict object hash hot host
    storage_class function f shift control ctrl alt meta arrow escape enter return shortcut accelerator idempotency
    """.split()
)
# What a name is about when it ends so: a place, a rule or a measure, not the secret.
_ABOUT = frozenset(
    """
    file files path paths dir directory folder policy policies timeout expiry expires expiration ttl length len count
    limit size url uri endpoint type types class enabled enable disabled disable name names provider algorithm algo alg
    header headers format min max strength required config conf configuration store cert certificate user username login
    host port prefix suffix regex pattern manager version sock socket fd pid status state error errors message messages
    reset change changed age rotation interval index num parallelism factory handler impl mode method scheme scope issuer
    audience realm domain env var ref arn location region validity lifetime duration cache encoder encoding decoder
    generator resolver service source callback grant request response bytes bits parser validator checker builder
    separator delimiter delim hint hints
    processor exception filter listener util utils helper test tests list set map
    """.split()
)
# What may follow without a change of meaning.
_SUFFIX = frozenset(
    """
    value val str string text data plain raw hex base64 b64 enc encrypted new old current previous prev prod production
    dev test stage staging live qa local primary secondary replica ro rw main default backup root admin base hash
    db mysql postgres pg smtp imap ftp sftp ldap ptr arr array vec opt ref
    """.split()
)
# Anything that could make a name one of a secret: searched before its words are looked at.
HINT = re.compile(
    r"pass|pwd|pws?\b|pw_|_pw|secret|tok|cred|key|auth|cookie|sess|sid|bearer|jwt|otp|mnemonic|webhook|wort|psk|senha|contrasena"
    r"|haslo|(?:secure|protected|guarded)_?string|basic|sig|pin|pat|seed|salt|hmac|sas|csrf|xsrf|nonce|assertion|cvv|cvc|ssn|pswd|lock_?code|pepper|priv"
    r"|community|fernet|kubeconfig|unseal|(?:recovery|activation)_?code",
    re.IGNORECASE,
)


def secret_name(name: str) -> bool:
    """Whether a variable, property or option so named holds a secret, whatever its value."""
    return strength(name) == "strong"


@functools.lru_cache(maxsize=4096)
def strength(name: str, *, exact: bool = False) -> Strength | None:
    """What the name says of its value. exact: of a name in a sentence, whose last word must be the secret's."""
    name = name.lstrip("-/")
    if name in ("PWD", "OLDPWD") and not exact:  # the shell's working directories; in a sentence, ODBC's passwords
        return None
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and (words[-1] in _SUFFIX or words[-1].isdigit()):
        words.pop()
    if not words:
        return None
    if words[-1] in ("url", "uri", "endpoint") and any(word in ("webhook", "webhooks") for word in words):
        return "strong"
    if words[-1] in _ABOUT:
        return None
    last = words[-1]
    # An id, as of AWS' access keys, is half of a pair.
    considered = words[-2:] if exact and last in ("id", "ids") else words[-1:] if exact else words
    if last in ("token", "tokens") and words[-2:-1] and words[-2] in _SPECIAL_TOKENS:
        return None
    if _is_pass(last) or any(_is_strong(word) for word in considered):
        return "strong"
    pairs = list(itertools.pairwise(words))
    if any(
        one in KEYS_OF and other in ("key", "keys")
        for one, other in pairs[-2:]
        if not exact or other == last or last == "id"
    ):
        return "strong"
    if pairs and last == "code" and words[-2] in _CODES:
        return "strong"
    if pairs[-1:] in ([("pass", "phrase")], [("pass", "word")]):
        return "strong"
    if ("shared", "signature") in pairs or ("access", "signature") in pairs or ("seed", "phrase") in pairs:
        return "strong"
    if (last in WEAK or last.endswith("auth")) and not (
        last in ("key", "keys") and len(words) > 1 and words[-2] in _NO_KEYS
    ):
        return "weak"
    return "weak" if ("session", "id") in pairs[-1:] or words[:2] == ["op", "session"] else None


# The tokens that models of language put at the ends of texts.
_SPECIAL_TOKENS = frozenset("pad eos bos unk mask sep cls stop".split())


def holds_user(name: str) -> bool:
    """Whether a user stands under this name, perhaps with a secret: "login", "ETCDCTL_USER", "ORACLE_CONNECT"."""
    words = _WORD.findall(name)
    return bool(words) and words[-1].lower() in _USERS


def is_login(name: str) -> bool:
    """Whether what has this name is more than a user's name: "login", "userinfo", "ETCDCTL_USER"."""
    words = _WORD.findall(name)
    return words[-1].lower() in ("login", "logon", "userinfo") or (name.isupper() and len(words) > 1)


USERS_HINT = re.compile(r"log_?[io]n|user|account|api|conn|tns|dsn|oracle", re.IGNORECASE)


def is_vendor(name: str) -> bool:
    """Whether a variable of the environment has the name of a service, of which it holds the key."""
    return name.isupper() and name.lower() in _VENDORS


def is_of_phrase(name: str) -> bool:
    """Whether what has this name may be several words: a passphrase, a mnemonic."""
    lower = name.lower()
    return "phrase" in lower or "mnemonic" in lower or "seed" in lower


def is_harmless(name: str, value: str) -> bool:
    """A parser's token, or a number that counts or places something."""
    if is_of_tokens(name) and (is_keyword(value) or not any(map(str.isalnum, value))):
        return True
    if is_number(value) and (is_measure(name) or len(value) < 4):
        return is_measure(name) or _words(name)[-1] in ("pass", *_OF_OBJECTS)
    return False


_OF_OBJECTS = frozenset("token tokens tok cookie cookies credential credentials secret secrets cred creds".split())


def is_counted_number(name: str, digits: str) -> bool:
    """Whether a whole number under this name counts or places something: no secret has so few digits."""
    last = _words(name)[-1]
    return len(digits) < (6 if last in _OF_OBJECTS or last in ("pass", "key", "keys") else 4)


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    return words or [""]


def is_measure(name: str) -> bool:
    """Whether a number under this name counts or places something: token_id, secret_score."""
    words = _WORD.findall(name)
    return len(words) > 1 and words[-1].lower() in _MEASURES


@functools.lru_cache(maxsize=4096)
def secret_type(written: str) -> bool:
    """Whether what has this type is a secret: Password, SecretKey, app::Credential &. A token is a parser's, too."""
    bare = re.sub(r"<.*|\b(?:const|volatile|struct|class|enum|union|mut)\b|[*&]|\[\d*\]", "", written).strip()
    name = re.split(r"::|\.", bare)[-1]
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in ("token", "tokens", "cookie", "cookies", "bearer"):
        return False
    if words[-2:] in (["secure", "string"], ["protected", "string"], ["guarded", "string"]):
        return True
    return HINT.search(name) is not None and strength(name, exact=True) == "strong"


def is_of_tokens(name: str) -> bool:
    """Whether the last word of the name is one that parsers use, too."""
    words = _WORD.findall(name)
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    return bool(words) and words[-1].lower() in ("token", "tokens", "tok")


def _is_strong(word: str) -> bool:
    if word in STRONG or (word.endswith(ENDINGS) and word not in _NO_ENDING):
        return True
    # A letter for the type behind it: passwordp, pwdw.
    return word[-1:] in _OF_TYPE and word[:-1].endswith(_LONG_ENDINGS)


_OF_TYPE = ("p", "w", "b")
_LONG_ENDINGS = ("password", "passwd", "passphrase", "secret", "apikey", "pwd")


_NO_PASS = frozenset(
    """
    compass bypass trespass surpass encompass overpass underpass multipass singlepass firstpass lastpass nextpass subpass
    renderpass prepass lowpass highpass bandpass allpass
    """.split()
)


def _is_pass(word: str) -> bool:
    """DB_PASS, PGPASS, keypass."""
    return word.endswith("pass") and word not in _NO_PASS
