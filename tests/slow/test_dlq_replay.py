"""Replaying dead letters: nothing is lost, whatever ends a replay; what stays wrong is given up."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.settings import Settings
from tests.integration.letters import GOOD, INFINITE, Letters, key_bytes, keys_on, letters


@pytest.fixture
def dlq(pipeline: sa.Engine, settings: Settings) -> Iterator[Letters]:
    with letters(settings, pipeline) as made:
        yield made


def await_commands(dlq: Letters, many: int) -> None:
    """Wait until so many were sent."""
    Retrying(
        retry=retry_if_result(lambda found: found < many), wait=wait_fixed(0.05), stop=stop_after_delay(60)
    )(dlq.command_count)


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Its exit code, and what it said."""
    process.send_signal(number)
    shown, told = process.communicate(timeout=60)
    return process.returncode, shown + told


def test_a_replay_killed_midway_and_run_again_replays_every_letter(dlq: Letters) -> None:
    keys = [f"정책-{n}" for n in range(40)]
    dlq.write(INFINITE, *keys)
    dlq.own.process()
    assert sum(dlq.ends().values()) == 40
    dlq.change(GOOD, *keys)
    dlq.own.process()
    dlq.own.forget_records()  # the correction healed them: now only a replay can
    process = dlq.start("replay", "--rate", "5")
    await_commands(dlq, 15)
    assert end(process, signal.SIGKILL)[0] == -signal.SIGKILL
    sent = dlq.asked()
    assert 15 <= len(sent) < 40
    position = sum(dlq.positions().values())
    assert 0 < position <= sum(sent.values())
    found = dlq.json("replay")
    assert (found["sent"], found["left"]) == (40 - position, 0)
    assert dlq.asked().keys() == set(keys)
    assert dlq.positions() == dlq.ends()
    dlq.own.process()
    assert dlq.own.assert_equal()["dlq_loan"]["redis"].keys() == set(keys)
    assert dlq.json("replay")["sent"] == 0


def test_a_row_that_stays_wrong_comes_back_until_it_is_given_up(dlq: Letters) -> None:
    dlq.write(INFINITE, "bad")
    dlq.write(GOOD, "good")
    dlq.own.process()
    (first,) = dlq.json("list")["letters"]
    for tries in (2, 3, 4):
        assert dlq.json("replay")["sent"] == 1
        dlq.own.process()
        (again,) = dlq.json("list")["letters"]
        assert (again["key"], again["tries"], again["stage"]) == ("bad", tries, "project")
        assert again["failed"].startswith(f"refresh.{dlq.topic}/")
        assert (again["first_letter"], again["first_failed_at"]) == (first["place"], first["first_failed_at"])
    replays = [command.replays for _, command in dlq.commands()]
    assert replays == [1, 2, 3]
    found = dlq.json("replay")
    assert (found["sent"], found["left"]) == (0, 1)
    assert [(row["key"], row["tries"]) for row in found["given_up"]] == [("bad", 4)]
    assert "1 rows given up" in dlq.run("replay")
    assert dlq.json("show", again["place"])["replay"]["times_left"] == 0
    dlq.change(GOOD, "bad")
    assert dlq.json("replay", "--max-replays", "4")["sent"] == 1
    dlq.own.process()
    assert dlq.own.assert_equal()["dlq_loan"]["neo4j"].keys() == {"bad", "good"}
    assert dlq.json("list")["total"] == 0


def test_sigterm_ends_a_replay_after_the_chunk_at_hand(dlq: Letters) -> None:
    keys = [f"k{n}" for n in range(12)]
    dlq.write(INFINITE, *keys)
    dlq.own.process()
    process = dlq.start("replay", "--rate", "1")
    await_commands(dlq, 2)
    code, told = end(process, signal.SIGTERM)
    sent = dlq.asked()
    assert code == 143, told
    assert f"{12 - len(sent)} letters left" in told
    assert sum(dlq.positions().values()) == len(sent)
    assert dlq.json("list")["total"] == 12 - len(sent)
    dlq.run("replay")
    assert dlq.asked() == dict.fromkeys(keys, 1)


def test_two_replays_at_once_ask_for_every_row(dlq: Letters) -> None:
    keys = [f"k{n}" for n in range(30)]
    dlq.write(INFINITE, *keys)
    dlq.own.process()
    for process in [dlq.start("replay", "--rate", "10"), dlq.start("replay", "--rate", "13")]:
        shown, told = process.communicate(timeout=60)
        assert process.returncode == 0, shown + told
    assert dlq.asked().keys() == set(keys)
    assert dlq.positions() == dlq.ends()


def test_letters_that_arrive_while_a_replay_runs_wait_for_the_next(dlq: Letters) -> None:
    dlq.write(INFINITE, *(f"k{n}" for n in range(6)))
    dlq.own.process()
    process = dlq.start("replay", "--rate", "1")
    await_commands(dlq, 1)
    ends = dlq.ends()
    dlq.own.process()  # what was sent comes back
    shown, told = process.communicate(timeout=60)
    assert process.returncode == 0, shown + told
    assert dlq.asked() == {f"k{n}": 1 for n in range(6)}
    assert dlq.positions() == ends
    assert dlq.json("list")["total"] == sum(dlq.ends().values()) - 6 > 0


def test_a_filter_leaves_the_position_before_the_first_letter_that_it_does_not_take(dlq: Letters) -> None:
    names = keys_on(0, "k")
    bad, garbled, last = (next(names) for _ in range(3))
    dlq.write(GOOD, garbled)
    dlq.own.process()
    dlq.garbage(key_bytes(garbled), 0)
    dlq.own.process()
    dlq.write(INFINITE, bad)
    dlq.own.process()
    dlq.garbage(None, 0)
    dlq.garbage(b'{"id":7}', 0)
    dlq.own.process()
    dlq.write(INFINITE, last)
    dlq.own.process()
    assert [letter["stage"] for letter in dlq.json("list")["letters"]] == [
        *("decode", "project", "decode", "decode", "project")
    ]
    found = dlq.json("replay", "--stage", "project", "--limit", "1")
    assert (found["sent"], found["left"], dlq.positions()[0]) == (1, 2, 0)
    assert [letter["reason"].split(":")[0] for letter in found["passed_over"]] == [
        "it has no key",
        "not a key of dlq_loan",
    ]
    assert dlq.json("replay", "--since", "2999-01-01")["left"] == 3
    assert dlq.json("replay", "--store", "redis")["sent"] == 0
    dry = dlq.json("replay", "--dry-run")
    assert [row["key"] for row in dry["rows"]] == [garbled, bad, last]
    assert dlq.asked() == {bad: 1}
    found = dlq.json("replay", "--table", "dlq_loan", "--stage", "decode", "--since", "1h")
    assert (found["sent"], found["left"], dlq.positions()[0]) == (1, 2, 1)
    found = dlq.json("replay")
    assert (found["sent"], found["left"], dlq.positions()[0]) == (2, 0, 5)
    assert dlq.asked() == {garbled: 1, bad: 2, last: 1}


def test_letters_that_were_removed_with_age_are_not_waited_for(dlq: Letters) -> None:
    assert dlq.run("stats") == "no dead letters\n"
    for key in ("a", "b", "c"):
        dlq.garbage(key_bytes(key), 0)
    dlq.own.process()
    admin = AdminClient(dlq.own.settings.kafka.client())
    for future in admin.delete_records([TopicPartition(dlq.dlq, 0, 2)]).values():
        future.result()
    assert [letter["key"] for letter in dlq.json("list", "--all")["letters"]] == ["c"]
    assert dlq.json("replay")["sent"] == 1
    assert (dlq.asked(), dlq.positions()[0]) == ({"c": 1}, 3)
