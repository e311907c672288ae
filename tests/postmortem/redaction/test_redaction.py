"""Secrets are masked, what only resembles them is not."""

from __future__ import annotations

import msgspec
import pytest

from postmortem.model import Address, Event, EventLog, Evidence, Finding, Frame, Jvm, Process, Report, Thread
from postmortem.redaction import MASK, mask_shapes, redact, secret_name
from reports import FORMATS
from tests.build import reports as build

# Assembled here, so that no scanner takes this file for a leak.
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD",
        "MYSQL_PWD",
        "PGPASSWORD",
        "javax.net.ssl.keyStorePassword",
        "--password",
        "API_KEY",
        "apiKey",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "github_token",
        "client-secret",
        "spring.datasource.credential",
        "accessToken",
        "DB_PASS",
        "PRIVATE_KEY",
        "dbpassword",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "keyboard",
        "KEYBOARD",
        "PWD",
        "OLDPWD",
        "PATH",
        "-XX:+UseStringDeduplication",
        "TOKENIZERS_PARALLELISM",
        "tokenizer",
        "monkey",
        "secretary",
        "PASSWORD_FILE",
        "password.policy",
        "SSH_AUTH_SOCK",
        "token_timeout",
        "compass",
        "bypass",
        "passenger",
        "javax.net.ssl.trustStore",
        "hotkey",
        "max_tokens",
        "",
    ],
)
def test_near_misses(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {JWT} sent", JWT),
        (f"key {AWS}", AWS),
        ("Authorization: Bearer abc123def456ghi", "abc123def456ghi"),
        ("jdbc:postgresql://app:hunter2@db:5432/shop", "hunter2"),
        ("https://user:p%40ss@host/path", "p%40ss"),
        ("pat " + "ghp_" + "a1B2" * 9, "a1B2a1B2"),
    ],
)
def test_shapes_of_secrets(text: str, secret: str) -> None:
    assert secret not in mask_shapes(text)
    assert MASK in mask_shapes(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/a@b",
        "std::map<int, char>::at",
        "Bearer of news",
        "basic block 12",
        "https://host/path?x=1",
        "0x7f00deadbeef",
        "com.example.Token.parse",
        "eyJ",
        "git@host:repo.git",
    ],
)
def test_shapes_that_are_none(text: str) -> None:
    assert mask_shapes(text) == text


def _arguments(*arguments: str) -> tuple[str, ...]:
    report = msgspec.structs.replace(build.minimal(), process=Process(arguments=arguments))
    return redact(report).process.arguments


def test_command_lines() -> None:
    assert _arguments("app", "--password", "hunter2", "--keyboard", "us") == (
        "app",
        "--password",
        MASK,
        "--keyboard",
        "us",
    )
    assert _arguments("java", "-Ddb.password=two words", "-Dfile.encoding=UTF-8") == (
        "java",
        f"-Ddb.password={MASK}",
        "-Dfile.encoding=UTF-8",
    )
    assert _arguments("--token=abc", "--password", "--verbose") == (
        f"--token={MASK}",
        "--password",
        "--verbose",
    )
    flags = (
        "-XX:+UseStringDeduplication",
        "-XX:HeapDumpPath=/var/dumps",
        "-Xmx4g",
        "-jar",
        "secret-service.jar",
    )
    assert _arguments(*flags) == flags


def test_a_command_line_in_one_string() -> None:
    jvm = Jvm(java_command="com.example.Main --api-token s3cr3tvalue --port 80 -Dx.secret=foo")
    made = redact(msgspec.structs.replace(build.minimal(), jvm=jvm)).jvm
    assert made is not None
    assert made.java_command == f"com.example.Main --api-token {MASK} --port 80 -Dx.secret={MASK}"


def test_a_secret_known_by_name_is_masked_wherever_text_repeats_it() -> None:
    finding = Finding(
        rule="r",
        title="t",
        severity="low",
        confidence="likely",
        explanation="login with s3cr3t-value failed",
        evidence=(Evidence(where="process.environment.DB_PASSWORD", value="s3cr3t-value"),),
    )
    jvm = Jvm(events=(EventLog(name="log", events=(Event(text="opened with s3cr3t-value"),)),))
    report = msgspec.structs.replace(build.native(), findings=(finding,), jvm=jvm)
    for form in FORMATS.values():
        assert "s3cr3t-value" not in form(redact(report))
        assert "hunter22" not in form(redact(report))


def test_code_is_not_touched() -> None:
    frame = Frame(
        pc=Address(1),
        sp=Address(2),
        function="parse_token=operator",
        file="password.c",
        module="/opt/hunter22/lib.so",
    )
    report = msgspec.structs.replace(build.native(), threads=(Thread(tid=1, frames=(frame,)),))
    assert redact(report).threads[0] is report.threads[0]


def test_credentials_in_the_core_s_own_address() -> None:
    core = msgspec.structs.replace(build.minimal().core, path="https://me:pw12@host/core.1")
    assert redact(msgspec.structs.replace(build.minimal(), core=core)).core.path == f"https://me:{MASK}@host/core.1"


@pytest.mark.parametrize("make", [build.native, build.jvm, build.minimal])
def test_twice_is_once(make: object) -> None:
    report = make()  # type: ignore[operator]  # a builder
    assert isinstance(report, Report)
    assert redact(redact(report)) == redact(report)


def test_a_report_without_secrets_is_the_same() -> None:
    assert redact(build.recursion()) == build.recursion()
