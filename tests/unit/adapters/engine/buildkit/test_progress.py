"""BuildKit's status messages as lines of a log, and what is said about a failure."""

import pytest

from orchestrator.adapters.engine.buildkit.progress import LINE_LENGTH, TAIL_LINES, Progress
from orchestrator.adapters.engine.buildkit.protobuf import encode, varint
from orchestrator.adapters.engine.buildkit.redaction import HIDDEN, Redaction
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, OperatorError

REQUEST = BuildRequest(tag="t", dockerfile=b"FROM scratch\nRUN make\n", dockerfile_name="api/Dockerfile")


def new(*secrets: bytes, request: BuildRequest = REQUEST) -> Progress:
    return Progress(request, Redaction(secrets))


def stamp(seconds: float) -> bytes:
    return encode((1, int(seconds)), (2, round(seconds % 1 * 1e9)))


def vertex(
    digest: str,
    name: str = "[1/2] RUN make",
    *,
    started: float | None = None,
    completed: float | None = None,
    cached: bool = False,
    error: str = "",
) -> bytes:
    fields: list[tuple[int, int | bytes | str]] = [(1, digest), (2, "sha256:input"), (3, name)]
    fields += [(4, 1)] if cached else []
    fields += [(5, stamp(started))] if started is not None else []
    fields += [(6, stamp(completed))] if completed is not None else []
    fields += [(7, error)] if error else []
    return encode((1, encode(*fields)))


def output(digest: str, text: bytes, stream: int = 1) -> bytes:
    return encode((3, encode((1, digest), (2, stamp(1)), (3, stream), (4, text))))


def warning(digest: str, text: str) -> bytes:
    return encode((4, encode((1, digest), (2, 1), (3, text), (4, b"more"))))


def test_a_step_from_start_to_end() -> None:
    progress = new()
    assert progress.read(vertex("a")) == [], "announced, not started"
    assert progress.read(vertex("a", started=1_700_000_000.25)) == ["#1 [1/2] RUN make"]
    assert progress.read(vertex("a", started=1_700_000_000.25)) == [], "told once"
    assert progress.read(output("a", b"cc -o x\nld\n")) == ["#1 cc -o x", "#1 ld"]
    done = vertex("a", started=1_700_000_000.25, completed=1_700_000_001.5)
    assert progress.read(done) == ["#1 DONE 1.2s"]
    assert progress.read(done) == []


def test_a_cached_step() -> None:
    assert new().read(vertex("a", started=5, completed=5, cached=True)) == ["#1 [1/2] RUN make", "#1 CACHED"]


def test_steps_are_numbered_as_they_start() -> None:
    progress = new()
    progress.read(vertex("late") + vertex("early"))
    assert progress.read(vertex("early", "FROM a", started=1)) == ["#1 FROM a"]
    assert progress.read(vertex("late", "COPY b", started=2)) == ["#2 COPY b"]
    assert progress.read(output("late", b"2\n") + output("early", b"1\n")) == ["#2 2", "#1 1"]


def test_one_message_may_tell_all_of_a_step() -> None:
    message = vertex("a", started=1, completed=2) + output("a", b"hello\n") + warning("a", "old syntax")
    assert new().read(message) == ["#1 [1/2] RUN make", "#1 hello", "#1 DONE 1.0s", "#1 WARN: old syntax"]


def test_lines_arrive_in_pieces() -> None:
    progress = new()
    progress.read(vertex("a", started=1))
    assert progress.read(output("a", b"caf\xc3")) == []
    assert progress.read(output("a", b"\xa9\nnext")) == ["#1 café"]
    assert progress.read(vertex("a", started=1, completed=2)) == ["#1 next", "#1 DONE 1.0s"]
    assert progress.read(output("a", b"afterwards")) == ["#1 afterwards"]


def test_pieces_of_what_is_printed_and_of_errors_are_lines_of_their_own() -> None:
    progress = new()
    progress.read(vertex("a", started=1))
    assert progress.read(output("a", b"no such ", stream=2)) == []
    assert progress.read(output("a", b"none\nla")) == ["#1 none"]
    assert progress.read(output("a", b"file\n", stream=2)) == ["#1 no such file"]
    assert progress.read(vertex("a", started=1, completed=2)) == ["#1 la", "#1 DONE 1.0s"]


def test_a_progress_bar_leaves_its_last_state() -> None:
    progress = new()
    progress.read(vertex("a", started=1))
    assert progress.read(output("a", b" 10%\r 50%\r100%\r\n\r\n")) == ["#1 100%", "#1 "]


def test_octets_that_are_no_text_and_lines_without_end() -> None:
    progress = new()
    progress.read(vertex("a", started=1))
    assert progress.read(output("a", b"\xff\n")) == ["#1 \ufffd"]
    lines = progress.read(output("a", b"x" * (LINE_LENGTH + 10)))
    assert [len(line) for line in lines] == [LINE_LENGTH + 3, 13]


def test_a_name_of_several_lines_is_one() -> None:
    assert new().read(vertex("a", "RUN <<EOF\n  make\nEOF", started=1)) == ["#1 RUN <<EOF make EOF"]


def test_output_of_nothing_known_is_left_out() -> None:
    assert new().read(output("?", b"x\n") + warning("?", "y")) == []


def test_a_failure_names_the_instruction_and_its_last_lines() -> None:
    progress = new()
    progress.read(vertex("ok", "[2/3] COPY . .", started=1, completed=2))
    progress.read(vertex("a", "[3/3] RUN make", started=2))
    progress.read(output("a", b"".join(b"%d\n" % n for n in range(100)) + b"last"))
    error = "executor failed running [/bin/sh -c make]: exit code: 2"
    lines = progress.read(vertex("a", "[3/3] RUN make", started=2, completed=3, error=error))
    assert lines == ["#2 last", "#2 ERROR: exit code 2"]
    failure = progress.failure(f"failed to solve: rpc error: code = Unknown desc = {error}")
    assert isinstance(failure, BuildError)
    assert failure.message == "api/Dockerfile:2: `RUN make` failed: exit code 2"
    assert len(failure.log_tail) == TAIL_LINES
    assert failure.log_tail[-2:] == ("99", "last")


def test_steps_that_were_stopped_by_anothers_failure_are_not_at_fault() -> None:
    progress = new()
    progress.read(vertex("a", "RUN false", started=1, completed=2, error="exit code: 1"))
    progress.read(vertex("b", "RUN sleep 9", started=1, completed=2, error="context canceled"))
    assert progress.failure("exit code: 1").message == "api/Dockerfile: `RUN false` failed: exit code 1"


def test_an_engine_that_cannot_run_anything_is_not_the_authors_fault() -> None:
    progress = new()
    error = "executor failed running [make]: failed to create endpoint x on network bridge: no such interface"
    progress.read(vertex("a", started=1, completed=2, error=error))
    assert isinstance(progress.failure(error), OperatorError)


def test_a_step_that_starts_once_more_is_not_done() -> None:
    progress = new()
    progress.read(vertex("a", started=1, completed=1))
    progress.read(vertex("a", started=1) + vertex("a", started=2))
    assert progress.read(vertex("a", started=2, completed=3, error="exit code: 1")) == ["#1 ERROR: exit code 1"]
    assert progress.failure("?").message == "api/Dockerfile:2: `RUN make` failed: exit code 1"


def test_the_one_step_under_way_is_at_fault_when_its_end_is_not_reported() -> None:
    progress = new()
    progress.read(vertex("ok", "FROM a", started=1, completed=2) + vertex("a", started=1))
    failure = progress.failure("executor failed running [/bin/sh -c make]: exit code: 1")
    assert failure.message == "api/Dockerfile:2: `RUN make` failed: exit code 1"


def test_secrets_are_hidden_wherever_they_are() -> None:
    progress = new(b"open sesame")
    lines = progress.read(vertex("a", "RUN echo open sesame", started=1))
    lines += progress.read(output("a", b"say open")) + progress.read(output("a", b" sesame\n"))
    lines += progress.read(vertex("a", started=1, completed=2, error="no open sesame here"))
    hidden = [f"#1 RUN echo {HIDDEN}", f"#1 say {HIDDEN}", f"#1 ERROR: no {HIDDEN} here"]
    assert lines == hidden
    failure = progress.failure("open sesame")
    assert isinstance(failure, BuildError)
    assert "sesame" not in f"{failure.message} {failure.log_tail}"


@pytest.mark.parametrize("before", range(LINE_LENGTH - 20, LINE_LENGTH + 20))
def test_a_secret_is_hidden_where_a_long_line_is_cut(before: int) -> None:
    progress = new(b"open sesame")
    lines = progress.read(vertex("a", started=1))
    text = b"x" * before + b"open sesame" + b"x" * LINE_LENGTH
    for start in range(0, len(text), 1000):
        lines += progress.read(output("a", text[start : start + 1000]))
    lines += progress.read(vertex("a", started=1, completed=2))
    assert "".join(line.removeprefix("#1 ") for line in lines[1:-1]) == "x" * before + HIDDEN + "x" * LINE_LENGTH


@pytest.mark.parametrize("data", [b"\x0b", b"\x0a\x05ab", b"\x08\xff", b"\x80", b"\x09\x01"])
def test_what_is_not_protobuf_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"ends after its message|no such wire type"):
        new().read(data)


def test_unknown_fields_of_every_type_are_skipped() -> None:
    unknown = varint(90 << 3 | 1) + bytes(8) + varint(91 << 3 | 5) + bytes(4) + encode((92, 1), (93, b"x"))
    assert new().read(unknown + vertex("a", started=1)) == ["#1 [1/2] RUN make"]
