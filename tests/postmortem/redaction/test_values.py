"""Secrets in arguments and locals are masked by their names, also as fields, and wherever else they appear."""

from __future__ import annotations

import pytest

from postmortem.model import Address, Core, Frame, Report, Thread, Tool, Value
from postmortem.redaction import MASK, names, redact


def report(*values: Value) -> Report:
    frame = Frame(pc=Address(1), sp=Address(2), function="login", arguments=values[:1], locals=values[1:])
    return Report(
        tool=Tool(name="postmortem", version="0"),
        core=Core(path="core", size=1, format="elf-core"),
        threads=(Thread(tid=1, crashed=True, frames=(frame,)),),
    )


def test_secrets_by_name() -> None:
    made = redact(
        report(
            Value(name="password", type="char *", value="0x5581", text='0x5581 "hunter2-hunter2"'),
            Value(name="user", type="char *", value="0x5590", text='0x5590 "alice"'),
            Value(name="copy", type="char *", value="0x55a0", text='0x55a0 "hunter2-hunter2"'),
            Value(
                name="session", type="struct session *", value="0x55b0", text="0x55b0",
                points_to='{id = 7, token = "abcdef-123456", next = 0x0}',
            ),
        )
    )  # fmt: skip
    frame = made.threads[0].frames[0]
    assert frame.arguments[0].text == MASK
    assert frame.arguments[0].value == "0x5581"
    user, copy, session = frame.locals
    assert user.text == '0x5590 "alice"'
    assert "hunter2" not in copy.text
    assert session.points_to == f'{{id = 7, token = "{MASK}", next = 0x0}}'
    assert redact(made) == made


def test_a_weak_name_is_judged_by_what_the_pointer_leads_to() -> None:
    made = redact(
        report(
            Value(name="n", type="int", value="1", text="1"),
            Value(name="sessionId", type="char *", value="0x5581", text='0x5581 "a82b2457f7e2a86cdd5f9038a7550175"'),
            Value(name="key", type="char *", value="0x5590", text='0x5590 "color"'),
            Value(name="key", type="const std::string &", value="0x55a0", text='@0x55a0: "orders-2026"'),
            Value(name="order_key", type="std::string", text='"eu.west:order-10441"'),
            Value(name="key", type="std::string", text='"q7Zx-2pLw9vT"'),
        )
    )
    session, key, *counted, made_up = made.threads[0].frames[0].locals
    assert session.text == MASK
    assert key.text == '0x5590 "color"'
    assert [value.text for value in counted] == ['@0x55a0: "orders-2026"', '"eu.west:order-10441"']
    assert made_up.text == MASK


def test_a_value_behind_its_name_in_an_array() -> None:
    array = '{0x5590 "--password", 0x55a0 "%s", 0x55b0 "x"}'
    pair = '{first = "n", names = {0x5590 "PGPASSWORD", 0x55a0 "%s"}}'
    columns = '{0x5590 "password", 0x55a0 "user", 0x55b0 "host"}'
    made = redact(
        report(
            Value(name="n", type="int", value="1", text="1"),
            Value(name="items", type="const char *[3]", text=array % "kilopound"),
            Value(name="pairs", type="Conf", text=pair % "mike99Zt"),
            Value(name="columns", type="const char *[3]", text=columns),
        )
    )
    texts = [value.text for value in made.threads[0].frames[0].locals]
    assert texts == [array % MASK, pair % MASK, columns]


def test_short_values_of_secrets() -> None:
    made = redact(
        report(
            Value(name="wpassword", type="wchar_t *", value="0x5581", text="0x5581", points_to="87"),
            Value(name="pin_code", type="int *", value="0x5590", text="0x5590", points_to="4711"),
            Value(name="pins", type="int", value="12", text="12"),
            Value(name="token", type="char [9]", text="<unavailable: page not in the core (0x7ffd8948afd0)>"),
            Value(name="password_length", type="int", value="12", text="12"),
        )
    )
    frame = made.threads[0].frames[0]
    assert frame.arguments[0].points_to == MASK
    code, pins, token, length = frame.locals
    assert code.points_to == MASK
    assert pins.text == length.text == "12"
    assert token.text == "<unavailable: page not in the core (0x7ffd8948afd0)>"


def test_a_null_pointer_is_no_secret() -> None:
    values = [Value(name="password", type="char *", value="0x0", text=text) for text in ("0x0", "NULL", "(char *) 0x0")]
    clean = report(*values, Value(name="secret", type="char", value="0", text="0 '\\000'"))
    assert redact(clean) is clean


def test_a_secret_by_its_type() -> None:
    made = redact(
        report(
            Value(name="n", type="int", value="1", text="1"),
            Value(name="p", type="const app::Password &", text='@0x55a0: {data = 0x5590 "kilopound", n = 9}'),
            Value(
                name="c", type="struct Credential *", text="0x55a0", points_to='{user = "alice", data = "mikeninety"}'
            ),
            Value(name="k", type="SecretKey", value="q7Zx2pLw9vT", text='"q7Zx2pLw9vT"'),
            Value(name="t", type="Token", text='{kind = 2, text = "answer"}'),
            Value(name="e", type="PasswordEncoder", text='{charset = "utf-8"}'),
        )
    )
    password, credential, key, token, encoder = made.threads[0].frames[0].locals
    assert password.text == f'@0x55a0: {{data = 0x5590 "{MASK}", n = 9}}'
    assert credential.points_to == f'{{user = "alice", data = "{MASK}"}}'
    assert (key.value, key.text) == (MASK, f'"{MASK}"')
    assert token.text == '{kind = 2, text = "answer"}'
    assert encoder.text == '{charset = "utf-8"}'
    assert redact(made) == made


def test_a_structure_with_the_name_of_a_secret_is_masked_member_by_member() -> None:
    made = redact(
        report(
            Value(name="n", type="int", value="1", text="1"),
            Value(name="token", type="Token", text='{type = 4, text = "while", line = 12}'),
            Value(name="cred", type="Ids", text="{uid = 0, gid = 0}"),
            Value(name="pass", type="Pass", text='{name = 0x5590 "inline", order = 3}'),
            Value(name="secret", type="Held", text='{data = 0x5590 "kilopound", n = 9}'),
            Value(name="secret_key", type="Bytes", text="{n = 4, bytes = {18, 52, 86, 120}}"),
        )
    )
    token, cred, passed, secret, key = made.threads[0].frames[0].locals
    assert token.text == '{type = 4, text = "while", line = 12}'
    assert cred.text == "{uid = 0, gid = 0}"
    assert passed.text == '{name = 0x5590 "inline", order = 3}'
    assert secret.text == f'{{data = 0x5590 "{MASK}", n = 9}}'
    assert key.text == MASK
    assert redact(made) == made


def test_numbers_and_separators_are_no_secrets() -> None:
    kept = report(
        Value(name="n", type="int", value="1", text="1"),
        Value(name="token", type="int", value="258", text="258"),
        Value(name="pass", type="unsigned char", value="2", text="2 '\\002'"),
        Value(name="secret", type="size_t", value="64", text="64"),
        Value(name="next_token", type="std::string", value=";", text='";"'),
        Value(name="password_hint", type="char *", value="0x5590", text='0x5590 "your first pet"'),
        Value(name="pwd", type="char *", value="0x5590", text='0x5590 "/home/bob"'),
        Value(name="login", type="std::string", value="bob.miller2", text='"bob.miller2"'),
        Value(name="user", type="std::string", value="host:8080", text='"host:8080"'),
        Value(name="private_data", type="void *", value="0x1000", text="0x1000"),
        Value(name="priv", type="struct dev *", value="0x1000", text="0x1000", points_to='{n = 1, name = "eth0"}'),
    )
    assert redact(kept) is kept
    made = redact(
        report(
            Value(name="n", type="int", value="1", text="1"),
            Value(name="passcode", type="long", value="99202241", text="99202241"),
            Value(name="pin", type="int", value="4711", text="4711"),
        )
    )
    assert [value.text for value in made.threads[0].frames[0].locals] == [MASK, MASK]


@pytest.mark.parametrize(
    ("type_", "shape"),
    [
        ("std::string", '"%s"'),
        ("char [64]", '"%s\\000\\031*V"'),
        ("char [64]", "\"%s\", '\\000' <repeats 31 times>"),
        ("char *[2]", '{0x7f92 "%s", 0x0}'),
        ("std::vector<std::string>", 'std::vector of length 1, capacity 1 = {"%s"}'),
        (
            "std::optional<S>",
            "std::optional<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >"
            ' = {[contained value] = "%s"}',
        ),
        ("Vec<String>", 'Vec(size=1) = {"%s"}'),
    ],
)
@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("sessionId", "586744b02c76c93a16935d68d8d965a6"),
        ("priv", "MZ0x6JHwO+5VjNuTfo4lSYiNJJ5Pg3ROQ7p8NtvqsNI="),
        ("csrf", "36a4ccf197fea8242b886be4093916a3"),
        ("pin", "99202241"),
        ("community", "khzsjeludl"),
        ("login", "bob:GDgA7PJOJ9Jl"),
        ("passwordp", "swordfish"),
        ("pws", "swordfish"),
    ],
)
def test_a_secret_in_what_holds_it(name: str, secret: str, type_: str, shape: str) -> None:
    made = redact(
        report(Value(name="n", type="int", value="1", text="1"), Value(name=name, type=type_, text=shape % secret))
    )
    (value,) = made.threads[0].frames[0].locals
    assert secret.rpartition(":")[2] not in value.text
    assert MASK in value.text
    assert redact(made) == made


@pytest.mark.parametrize(
    ("written", "secret"), [("shop::SecureString", True), ("ProtectedString &", True), ("std::string", False)]
)
def test_strings_that_are_secret_by_their_type(written: str, secret: bool) -> None:
    assert (names.HINT.search(written) is not None and names.secret_type(written)) is secret
