"""Walks through the world that are the same at every run, and the shortest story of one that ends badly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.model.changes import Move
from tests.model.scope import Scope
from tests.model.world import World

WEIGHTS: Mapping[str, float] = {
    "write": 6,
    "commit": 4,
    "show": 3,
    "emit": 8,
    "repeat": 0.3,
    "look": 0.6,
    "command": 1,
    "step": 10,
    "store": 2,
    "crash": 0.4,
    "group": 0.6,
    "remodel": 0.1,
    "narrow": 1,
    "refuse": 3,
    "replay": 1,
}
Moves = Callable[[World], Iterable[Move]]
BURSTS = (1, 2, 5, 10, 20)
"""Steps of one process in a row."""
PACES = (0.05, 0.15, 0.5)
"""How likely a strand goes on when it is its turn."""


@dataclass(frozen=True)
class Script:
    """What is to happen, in strands: each in its own order, in any order with each other.

    A move names its transaction ("T1") where the world has its number. Events are emitted and processes go on
    by themselves in between; unless `emits`, it is the strands that say when events are emitted. After
    ("until", process, place) the next move follows as soon as that process is there.
    """

    scope: Scope
    strands: tuple[tuple[Move, ...], ...]
    emits: bool = True


@dataclass(frozen=True)
class Failure:
    """What was done, and what did not hold in the end."""

    scope: Scope
    moves: Sequence[Move]
    error: Exception


def wander(
    seed: int, scope: Scope, weights: Mapping[str, float] = WEIGHTS, length: int = 40
) -> Failure | None:
    """Anything may happen. Each walk prefers other kinds of moves: what is rare in most is common in some."""
    dice = random.Random(seed)  # noqa: S311
    liked = {kind: weight * dice.choice((0.1, 0.4, 1, 3)) for kind, weight in weights.items()}
    liked["step"] = weights["step"]
    kinds = dice.choices(list(liked), list(liked.values()), k=dice.randint(5, length))

    def moves(world: World) -> Iterable[Move]:
        for kind in kinds:
            if kind == "step":
                yield from _burst(world, dice)
            elif options := world.options(kind):
                yield dice.choice(options)

    return _run(scope, moves)


def perform(seed: int, script: Script) -> Failure | None:
    """The script's strands in some order."""
    dice = random.Random(seed)  # noqa: S311

    def moves(world: World) -> Iterable[Move]:
        left = [list(strand) for strand in script.strands]
        numbers: dict[str, int] = {}
        pace = [dice.choice(PACES) for _ in left]
        single = dice.random() < 0.5
        while any(left):
            for strand in left:
                if strand and strand[0][0] == "until" and world.owners[strand[0][1]].at == strand[0][2]:
                    yield strand[1]
                    del strand[:2]
            ready = [
                (strand, _named(strand[0], numbers, world), p)
                for strand, p in zip(left, pace, strict=True)
                if strand
            ]
            ready = [item for item in ready if item[1] in world.options(world.kind_of(item[1]))]
            strand, move, chance = dice.choice(ready) if ready else ([], (), 0.0)
            if dice.random() < chance:
                if move[0] == "write":
                    numbers.setdefault(strand[0][1], world.database.next_xid)
                del strand[0]
                yield move
            elif script.emits and world.connector.has_more and dice.random() < 0.5:
                yield ("emit",)
            elif (
                not any(world.options("step"))
                and not ready
                and not (script.emits and world.connector.has_more)
            ):
                return
            else:
                yield from _burst(world, dice, single)
                if dice.random() < 0.3:
                    yield from world.options("store")
        for _ in range(dice.choice((0, 3))):
            yield from _burst(world, dice, single)

    return _run(script.scope, moves)


def _named(move: Move, numbers: Mapping[str, int], world: World) -> Move:
    """With its transaction's number; a write in a transaction that has none yet begins it."""
    if move[0] in ("write", "commit", "abort", "show"):
        return (move[0], numbers.get(move[1]), *move[2:])
    return move


def _burst(world: World, dice: random.Random, single: bool = False) -> Iterable[Move]:
    """One process goes on for some steps, seldom one that was evicted; `single`: one record a poll."""
    if not (options := world.options("step")):
        return
    name = dice.choice(options)[1]
    if name in world.broker.evicted and dice.random() < 0.9:
        return
    for _ in range(dice.choice(BURSTS)):
        options = [option for option in world.options("step") if option[1] == name]
        options = [o for o in options if single and isinstance(o[2], tuple) and o[2][0] == 1] or options
        if not options:
            return
        yield dice.choice(options)


def _run(scope: Scope, moves: Moves) -> Failure | None:
    world, done = World(scope), list[Move]()
    try:
        for move in moves(world):
            done.append(move)
            world.do(move)
        world.finish()
    except Exception as error:
        return Failure(scope, done, error)
    finally:
        world.close()
    return None


def shrink(failure: Failure) -> tuple[list[str], Exception]:
    """The story without what it does not need, longer parts left out first."""
    best, size = failure, len(failure.moves) // 2
    while size:
        at = 0
        while at < len(best.moves):
            fewer = [*best.moves[:at], *best.moves[at + size :]]
            shorter = _run(failure.scope, _possible(fewer))
            if shorter and type(shorter.error) is type(failure.error):
                best = shorter
            else:
                at += size
        size //= 2
    return [" ".join(map(str, move)) for move in best.moves], best.error


def _possible(wanted: Sequence[Move]) -> Moves:
    def moves(world: World) -> Iterable[Move]:
        return (move for move in wanted if move in world.options(world.kind_of(move)))

    return moves
