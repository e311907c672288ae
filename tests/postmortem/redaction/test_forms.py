"""The policy of redaction, form by form: what is masked, and what stays."""

from __future__ import annotations

import json
import shlex
import time

import msgspec
import pytest

from postmortem.model import Frame, Jvm, Process, RegisterNote, Report, SourceLine, Thread
from postmortem.model.address import Address
from postmortem.redaction import MASK, mask_text, redact
from reports import FORMATS
from tests.build import reports as build
from tests.postmortem.redaction import forms


def _with(process: Process) -> Report:
    return msgspec.structs.replace(build.minimal(), process=process)


@pytest.mark.parametrize(("text", "secret"), (*forms.TEXTS, *forms.LINES))
def test_running_text(text: str, secret: str) -> None:
    masked = mask_text(text)
    assert secret not in masked
    assert MASK in masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(("arguments", "secret"), forms.ARGUMENTS)
def test_arguments(arguments: tuple[str, ...], secret: str) -> None:
    report = redact(_with(Process(arguments=arguments)))
    assert not any(secret in argument for argument in report.process.arguments)
    assert sum(report.redacted.values()) >= 1
    assert redact(report) == report


@pytest.mark.parametrize("arguments", forms.ORDINARY_ARGUMENTS)
def test_ordinary_arguments_stay(arguments: tuple[str, ...]) -> None:
    report = _with(Process(arguments=arguments))
    assert redact(report) is report


@pytest.mark.parametrize(("line", "secret"), forms.OF_PROGRAMS)
def test_arguments_of_programs(line: str, secret: str) -> None:
    """As arguments, as a shell's command, as a list in a text, and in letters of one case."""
    for value in (secret, "".join(filter(str.isalpha, secret.lower())) + "q"):
        words = tuple(word.replace(secret, value) for word in shlex.split(line))
        quoted = f"{{0x55 {', 0x55 '.join(json.dumps(word) for word in words)}, 0x0}}"
        arguments = redact(_with(Process(arguments=words))).process.arguments
        assert not [word for word in arguments if value in word]
        assert len(arguments) == len(words)
        (shell,) = redact(_with(Process(arguments=("sh", "-c", shlex.join(words))))).process.arguments[2:]
        for made in (shell, mask_text(quoted), mask_text(f"running {shlex.join(words)}")):
            assert value not in made
            assert MASK in made


@pytest.mark.parametrize(("text", "secret"), forms.SOURCE)
def test_lines_of_source(text: str, secret: str) -> None:
    frame = Frame(pc=Address(1), sp=Address(2), source=(SourceLine(line=1, text=text),))
    masked = redact(msgspec.structs.replace(build.minimal(), threads=(Thread(tid=1, frames=(frame,)),)))
    (line,) = masked.threads[0].frames[0].source
    assert secret not in line.text
    assert MASK in line.text
    assert redact(masked) == masked


@pytest.mark.parametrize("text", forms.ORDINARY_SOURCE)
def test_ordinary_lines_of_source_stay(text: str) -> None:
    frame = Frame(pc=Address(1), sp=Address(2), source=(SourceLine(line=1, text=text),))
    report = msgspec.structs.replace(build.minimal(), threads=(Thread(tid=1, frames=(frame,)),))
    assert redact(report) is report


@pytest.mark.parametrize(("text", "secret"), forms.CUTS)
def test_what_is_cut_within_a_secret(text: str, secret: str) -> None:
    before = "x" * (79 - len(text)) + " "
    masked = mask_text(before + text)
    assert masked.startswith(before)
    assert secret not in masked
    assert MASK in masked
    assert secret not in mask_text(f'"{before}{text}"...')


@pytest.mark.parametrize("text", forms.ORDINARY_CUTS)
def test_ordinary_texts_that_are_cut_stay(text: str) -> None:
    cut = "x" * (79 - len(text)) + " " + text
    assert mask_text(cut) == cut


def test_a_value_of_a_jvm_s_argument_may_have_blanks() -> None:
    jvm = Jvm(arguments=("-Dapp.passphrase=correct", "horse", "staple", "-Xmx64m", "-cp", "horse2.jar"))
    made = redact(msgspec.structs.replace(build.minimal(), jvm=jvm)).jvm
    assert made is not None
    assert made.arguments == (f"-Dapp.passphrase={MASK}", MASK, MASK, "-Xmx64m", "-cp", "horse2.jar")


def test_words_of_a_phrase_on_a_command_line_in_one_string() -> None:
    jvm = Jvm(java_command="com.example.Main --mnemonic correct horse staple --port 80")
    made = redact(msgspec.structs.replace(build.minimal(), jvm=jvm)).jvm
    assert made is not None
    assert made.java_command == f"com.example.Main --mnemonic {MASK} {MASK} {MASK} --port 80"


@pytest.mark.parametrize(("name", "value"), forms.ENTRIES)
def test_entries(name: str, value: str) -> None:
    (masked,) = redact(_with(Process(environment={name: value}))).process.environment.values()
    assert MASK in masked
    for secret in (forms.PW, forms.PLAIN, forms.HEX, forms.B64, "Ym9iOmh1bnRlcjIh", "two words"):
        assert secret not in masked


@pytest.mark.parametrize("text", (*forms.ORDINARY, *forms.LINES_THAT_STAY))
def test_ordinary_text_stays(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(("name", "value"), forms.ORDINARY_ENTRIES)
def test_ordinary_entries_stay(name: str, value: str) -> None:
    report = _with(Process(environment={name: value}))
    assert redact(report) is report


def test_secrets_of_all_forms_in_one_report_are_in_no_output() -> None:
    """Each in another place: threads' names, what registers point at, environment, arguments."""
    threads = tuple(
        Thread(tid=number, name=text, frames=(Frame(pc=Address(1), sp=Address(2)),))
        for number, (text, _) in enumerate(forms.TEXTS, 1)
    )
    crash = msgspec.structs.replace(
        build.native().crash,
        registers=tuple(RegisterNote(register="rax", value=Address(1), text=text) for text, _ in forms.TEXTS),
    )
    report = msgspec.structs.replace(
        build.native(),
        threads=threads,
        crash=crash,
        process=Process(
            arguments=tuple(argument for arguments, _ in forms.ARGUMENTS for argument in arguments),
            environment=dict(forms.ENTRIES),
        ),
    )
    secrets = {secret for _, secret in (*forms.TEXTS, *forms.ARGUMENTS)} - {"SECRET"}
    masked = redact(report)
    for form in FORMATS.values():
        made = form(masked)
        assert not [secret for secret in secrets if len(secret) > 4 and secret in made]
        assert "masked as secrets" in made or form is FORMATS["json"]
    assert redact(masked) == masked


def test_what_is_a_secret_in_one_place_is_masked_in_all() -> None:
    report = msgspec.structs.replace(
        build.minimal(),
        process=Process(
            arguments=("app", "--note", f"got {forms.HEX}"),
            environment={"API_TOKEN": forms.HEX, "DB_PASS": "swordfish", "USER": "swordfish2"},
        ),
        threads=(Thread(tid=1, name=f"w-{forms.HEX[:10]}"), Thread(tid=2, name=f"{forms.HEX[-9:]} tail swordfish")),
    )
    masked = redact(report)
    assert masked.process.arguments == ("app", "--note", f"got {MASK}")
    assert masked.threads[0].name == f"w-{MASK}"
    assert masked.threads[1].name == f"{MASK} tail {MASK}"
    assert masked.process.environment["USER"] == "swordfish2"
    assert masked.redacted == {"name": 2, "repeated": 4}


def test_a_secret_in_the_path_of_a_mapped_file() -> None:
    frames = (
        Frame(pc=Address(1), sp=Address(2), module=path)
        for path in ("/tmp/token=aB3dE6gH9jK2.bin (deleted)", "/tmp/token=operator.bin")
    )
    made = redact(msgspec.structs.replace(build.minimal(), threads=(Thread(tid=1, frames=tuple(frames)),)))
    assert [frame.module for frame in made.threads[0].frames] == [
        f"/tmp/token={MASK}.bin (deleted)",
        "/tmp/token=operator.bin",
    ]


def test_a_beginning_that_others_share_is_no_piece_of_a_secret() -> None:
    """A scheme, a namespace, an address: only what looks random tells a cut secret."""
    environment = {
        "A_TOKEN": "https://hook.example/T0x7f/aB3dE6gH9jK2mN5p",
        "B_TOKEN": "std::__cxx11::f1a2b3c4d5e6",
        "C_TOKEN": "0x7fff2e4aa1b2c3d4",
        "D_TOKEN": "session-A1b2C3d4E5f6G7h8",
    }
    notes = ("see https://docs.example/", "std::__throw_bad_cast", "at 0x7fff2e00", "session-store")
    threads = tuple(Thread(tid=number, name=note) for number, note in enumerate(notes, 1))
    cut = Thread(tid=9, name="w aB3dE6gH9jK2mN5p")
    made = redact(
        msgspec.structs.replace(build.minimal(), process=Process(environment=environment), threads=(*threads, cut))
    )
    assert set(made.process.environment.values()) == {MASK}
    assert tuple(thread.name for thread in made.threads[:4]) == notes
    assert made.threads[4].name == f"w {MASK}"


def test_the_words_of_a_token_s_structure_are_not_looked_for() -> None:
    environment = {
        "SECRET": '{kind = 2, text = "return", of = "keyboard"}',
        "NOTE": "a return address, a keyboard",
        "P_TOKEN": "continue",
    }
    made = redact(_with(Process(environment={**environment, "N2": "they continue"}))).process.environment
    assert made["SECRET"] != environment["SECRET"]
    assert (made["NOTE"], made["N2"]) == (environment["NOTE"], "they continue")


def test_a_line_of_a_key_is_masked_where_it_stands_alone() -> None:
    """A register may point into the middle of it."""
    lines = ("40rIQ/Yg898aq5aUJt5+s4CTe/mZN4tNk+cP0JaR6UfbF8u6e9sKp1XvQTBb11bw", "nTkAyRKrZK433cTNg59zqJXcLi3CfU2I")
    key = "\\n".join(("-----BEGIN RSA " + "PRIVATE KEY-----", *lines, "-----END RSA " + "PRIVATE KEY-----"))
    report = msgspec.structs.replace(
        build.minimal(),
        process=Process(environment={"PEM": key, "NOTE": f"heap, {lines[1]}", "CUT": f"heap, {lines[0][20:]}"}),
    )
    masked = redact(report).process.environment
    assert masked["NOTE"] == masked["CUT"] == f"heap, {MASK}"


def test_base64_that_stands_alone_may_be_a_part_of_a_key_that_is_there() -> None:
    piece = 'heap, "dYf5WFO/0MobLYaLppEAJDgtzDywb1Fp"'
    names = {"CLASS": "com/example/shop/CheckoutService", "PATH": "/usr/lib/X11/R6/someLongerName2", "PIECE": piece}
    cut = "-----BEGIN RSA " + "PRIVATE KEY-----\\n40rIQ/Yg898aq5aUJt5"
    with_key = redact(_with(Process(environment={**names, "TEXT": cut}))).process.environment
    assert with_key == {**names, "PIECE": f'heap, "{MASK}"', "TEXT": MASK}
    assert redact(_with(Process(environment=names))).process.environment == names


def test_a_password_that_is_the_name_of_something_is_not_looked_for() -> None:
    report = msgspec.structs.replace(
        build.minimal(),
        process=Process(command="checkout", environment={"DB_PASSWORD": "checkout", "LOG": "checkout started"}),
    )
    assert redact(report).process.environment == {"DB_PASSWORD": MASK, "LOG": "checkout started"}


def test_patterns_of_the_user() -> None:
    report = _with(Process(arguments=("app", "ticket-4711", "kunde=0815"), environment={"X": "see ticket-4711"}))
    masked = redact(report, [r"ticket-\d+"])
    assert masked.process.arguments == ("app", MASK, "kunde=0815")
    assert masked.process.environment == {"X": f"see {MASK}"}
    assert masked.redacted == {"pattern": 2}


@pytest.mark.parametrize("piece", forms.PIECES)
def test_what_repeats_itself_costs_no_more_than_its_length(piece: str) -> None:
    """Time of the process, far from what a quadratic search takes."""
    text = (piece * 30_000)[:30_000]
    start = time.process_time()
    mask_text(text)
    assert time.process_time() - start < 5


def test_values_are_counted_by_kind() -> None:
    report = _with(
        Process(
            arguments=("app", "--password", forms.PLAIN, "https://u:" + forms.PW + "@h/"),
            environment={"TOKEN": forms.HEX, "H": "Cookie: a=1b2c3d4e"},
        )
    )
    assert redact(report).redacted == {"header": 1, "name": 1, "option": 1, "url": 1}


@pytest.mark.parametrize(("name", "secret"), forms.THREADS)
def test_names_of_threads(name: str, secret: str) -> None:
    """Fifteen characters, in which a token is cut."""
    masked = redact(msgspec.structs.replace(build.minimal(), threads=(Thread(tid=1, name=name),)))
    assert secret not in (masked.threads[0].name or "")
    assert sum(masked.redacted.values()) == 1


@pytest.mark.parametrize("name", forms.ORDINARY_THREADS)
def test_ordinary_names_of_threads_stay(name: str) -> None:
    report = msgspec.structs.replace(build.minimal(), threads=(Thread(tid=1, name=name),))
    assert redact(report) is report


def test_text_beyond_the_limit_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has looked through may hold anything."""
    from parsers.limits import Limits
    from postmortem import redaction

    monkeypatch.setattr(redaction, "LIMITS", Limits(searched_text=1000))
    report = _with(Process(arguments=("x" * 900, "y" * 900, "z"), environment={"A": "key=" + "w" * 300, "B": "short"}))
    masked = redact(report)
    assert masked.process.arguments == ("x" * 900, MASK, "z")
    assert masked.process.environment == {"A": MASK, "B": "short"}
    assert masked.redacted == {"not searched": 2}
    assert [problem.where for problem in masked.problems] == ["searched_text"]
    assert redact(masked) == masked
