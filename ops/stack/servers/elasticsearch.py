"""Elasticsearch, the search index, with Korean analysis."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ops.stack import java
from ops.stack.install import STACK, MavenRecipe
from ops.stack.privileges import give_to_nobody
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, ask, base_env, render

_PLUGIN = "elasticsearch/nori-plugin"
_PLUGIN_FILES = (
    f"{_PLUGIN}/named_components.json",
    f"{_PLUGIN}/stable-plugin-descriptor.properties",
    f"{_PLUGIN}/src/NoriAnalyzer.java",
    f"{_PLUGIN}/src/NoriTokenizer.java",
)


def add_nori(folder: Path) -> None:
    """Compile the Korean plugin against the server just unpacked and put it into its `plugins`."""
    home = distribution(folder)
    nori = next((folder / "nori").glob("*.jar"))
    plugin = home / "plugins" / "aegis-nori"
    plugin.mkdir(parents=True)
    shutil.copy(nori, plugin)
    shutil.copy(STACK / _PLUGIN / "named_components.json", plugin)
    version = home.name.removeprefix("elasticsearch-")
    render(
        f"{_PLUGIN}/stable-plugin-descriptor.properties",
        plugin / "stable-plugin-descriptor.properties",
        VERSION=version,
    )
    sources = [str(STACK / file) for file in _PLUGIN_FILES if file.endswith(".java")]
    tools = java.find_jdk() / "bin"
    with tempfile.TemporaryDirectory() as classes:
        compile_ = [str(tools / "javac"), "--release", "21", "-d", classes, "-cp", f"{home}/lib/*:{nori}"]
        _run([*compile_, *sources])
        _run([str(tools / "jar"), "--create", "--file", str(plugin / "aegis-nori.jar"), "-C", classes, "."])


def distribution(folder: Path) -> Path:
    """The unpacked server within the recipe's folder."""
    return next(folder.glob("elasticsearch-*"))


class Elasticsearch(Server):
    """One node without accounts, on loopback."""

    name = "elasticsearch"
    ports = ("elasticsearch", "elasticsearch_transport")
    recipes = (MavenRecipe("elasticsearch", "elasticsearch/pom.xml", add_nori, _PLUGIN_FILES),)
    unprivileged = True

    def prepare(self, context: Context) -> None:
        """Configuration folder: the distribution's own files and our elasticsearch.yml."""
        home = context.data(self.name)
        conf = home / "config"
        shutil.rmtree(conf, ignore_errors=True)
        shutil.copytree(distribution(context.folder(self.recipes[0])) / "config", conf)
        options = (conf / "jvm.options").read_text().splitlines()
        # Its log of garbage collections alone may take 32 files of 64 MB.
        (conf / "jvm.options").write_text(
            "\n".join(line for line in options if not line.startswith("-Xlog:gc"))
        )
        render(
            "elasticsearch/elasticsearch.yml",
            conf / "elasticsearch.yml",
            PORT=context.port("elasticsearch"),
            TRANSPORT_PORT=context.port("elasticsearch_transport"),
            HOME=home,
        )
        (home / "tmp").mkdir(exist_ok=True)
        give_to_nobody(home)

    def command(self, context: Context) -> Command:
        """Its launcher starts the JVM that serves as a child."""
        home = context.data(self.name)
        env = base_env(
            ES_JAVA_HOME=str(java.find_jdk()),
            ES_JAVA_OPTS="-Xms256m -Xmx512m",
            ES_PATH_CONF=str(home / "config"),
            ES_TMPDIR=str(home / "tmp"),
        )
        program = distribution(context.folder(self.recipes[0])) / "bin" / "elasticsearch"
        return Command([str(program)], env, home)

    def probe(self, context: Context) -> None:
        """Cluster health of at least yellow: every primary shard can be read and written."""
        # Below yellow it answers with status 408 after these two seconds.
        ask(context.layout.url("elasticsearch") + "/_cluster/health?wait_for_status=yellow&timeout=2s")


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartFailed(f"elasticsearch: building the Korean plugin failed:\n{done.stderr.strip()}")
