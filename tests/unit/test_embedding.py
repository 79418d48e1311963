"""The engines that need no torch, on the weights that `make setup` installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from processor.embedding import Encoder, load_encoder
from processor.embedding.base import Vectors
from processor.embedding.load import CheckedEncoder
from processor.embedding.weights import weights_folder
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings
from tests.embedding.texts import hard_texts, mixed_texts

GOLDEN = {
    "예비창업자를 위한 사업화 자금을 지원한다.": [
        -0.0074, -0.03972, -0.10062, -0.06195, 0.05969, 0.06791, -0.04952, 0.07966,
    ],
    "Loans for small manufacturers 🙂 소상공인 융자": [
        0.01713, -0.02628, -0.0287, 0.00498, 0.00079, 0.0277, -0.02015, -0.0331,
    ],
    "": [-0.11884, 0.06332, 0.02904, 0.00796, -0.08648, 0.06969, -0.02275, -0.10472],
    "창업 지원 policy 2026 " * 500: [
        0.02694, -0.05544, -0.0656, 0.00538, 0.06439, 0.02941, -0.01632, 0.00411,
    ],
}  # fmt: skip
"""Every 48th component as sentence-transformers 6.2 on torch 2.15 makes it (256 tokens, unit length)."""


@pytest.fixture(autouse=True, scope="module")
def nothing_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        for name in EmbeddingSettings.model_fields:
            patch.delenv(f"EMBEDDING_{name.upper()}", raising=False)
        yield


def load(engine: str, **others: object) -> Encoder:
    return load_encoder(EmbeddingSettings.model_validate({"engine": engine} | others))


@pytest.fixture(scope="module", params=["onnx", "multilingual"])
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    made = load(request.param)
    yield made
    made.close()


class Weights:
    """The installed model's folder, of which a test may spoil one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            weights_folder(EmbeddingSettings.model_validate({})), folder, copy_function=os.symlink
        )

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def replace(self, name: str, content: bytes) -> None:
        (self.folder / name).unlink()
        (self.folder / name).write_bytes(content)

    def load(self, **settings: object) -> Encoder:
        return load("onnx", path=self.folder, **settings)


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return Weights(tmp_path / "weights")


def test_the_onnx_engine_makes_the_vectors_of_sentence_transformers() -> None:
    vectors = load("onnx").encode(list(GOLDEN))
    np.testing.assert_allclose(vectors[:, ::48], list(GOLDEN.values()), atol=1e-4, rtol=0)


def test_vectors_are_unit_float32_rows_in_one_block(encoder: Encoder) -> None:
    texts = hard_texts()
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dim)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_text_has_one_vector_whatever_it_is_embedded_with(encoder: Encoder) -> None:
    texts = mixed_texts(20)
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together - np.roll(together, 1, axis=0)).max(axis=1).min() > 1e-3


def test_decomposed_hangul_has_the_vector_of_composed(encoder: Encoder) -> None:
    text = "청년 창업기업 지원"
    composed, decomposed = encoder.encode([text, unicodedata.normalize("NFD", text)])
    assert composed.tolist() == decomposed.tolist()


def test_what_lies_behind_the_last_token_that_is_read_changes_nothing(encoder: Encoder) -> None:
    start = "창업 지원 policy " * 400
    one, other = encoder.encode([f"{start} 농업", f"{start} 어업"])
    assert one.tolist() == other.tolist()


def test_no_texts_are_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_the_multilingual_model_finds_what_is_meant_in_korean() -> None:
    encoder = load("multilingual")
    question, near, far = encoder.encode(
        ["청년 창업 지원사업", "젊은 사업가를 위한 보조금", "고양이 사료 할인"]
    )
    assert question @ near > question @ far + 0.2


@pytest.mark.parametrize("engine", ["onnx", "multilingual"])
def test_reading_less_of_a_text_makes_another_vector_under_another_id(engine: str) -> None:
    text = " ".join(mixed_texts(3))
    usual = load(engine)
    short = load(engine, max_tokens=16)
    assert short.model == f"{usual.model}@16"
    assert np.abs(usual.encode([text]) - short.encode([text])).max() > 1e-2


@pytest.mark.parametrize("engine", ["onnx", "multilingual"])
def test_torch_is_not_imported_by_engines_that_do_without(engine: str) -> None:
    program = f"""
import sys
from processor.embedding import load_encoder
from processor.settings import EmbeddingSettings
load_encoder(EmbeddingSettings(engine={engine!r})).encode(["정책"])
print(sorted({{"torch", "sentence_transformers", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("module", ["torch", "sentence_transformers"])
def test_without_sentence_transformers_both_ways_out_are_named(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        load("sentence-transformers")
    assert caught.value.hint is not None
    assert "make torch" in caught.value.hint
    assert "EMBEDDING_ENGINE=onnx" in caught.value.hint


def test_a_folder_without_weights_is_told_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json, model\.safetensors missing"):
        load("onnx", path=tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_cut_short_is_a_wrong_configuration(weights: Weights, file: str) -> None:
    weights.replace(file, weights.read(file)[:100])
    with pytest.raises(ConfigurationError, match="cannot load all-MiniLM-L6-v2") as caught:
        weights.load()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        ("config.json", {"model_type": "roberta"}, "model_type roberta"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act relu"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pooling_mode_cls_token"),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}, "pooling cls"),
    ],
)
def test_a_model_that_the_graph_does_not_describe_is_refused(
    weights: Weights, file: str, change: dict[str, object], complaint: str
) -> None:
    weights.replace(file, json.dumps(json.loads(weights.read(file)) | change).encode())
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        weights.load()
    assert "sentence-transformers" in str(caught.value.hint)


def test_a_model_with_a_further_layer_is_refused(weights: Weights) -> None:
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    weights.replace("modules.json", json.dumps([*json.loads(weights.read("modules.json")), dense]).encode())
    with pytest.raises(ConfigurationError, match="Dense, Pooling, Transformer"):
        weights.load()


def test_weights_with_nan_are_refused_at_start(weights: Weights) -> None:
    arrays = safetensors.numpy.load(weights.read("model.safetensors"))
    arrays["embeddings.LayerNorm.weight"] = arrays["embeddings.LayerNorm.weight"] * np.float32("nan")
    weights.replace("model.safetensors", safetensors.numpy.save(arrays))
    with pytest.raises(ConfigurationError, match="not finite"):
        weights.load()


def test_a_dim_that_the_weights_do_not_have_is_refused_at_start(weights: Weights) -> None:
    with pytest.raises(ConfigurationError, match="384 components, 100 are configured"):
        weights.load(model="our-own", dim=100)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.0])
def test_a_vector_that_is_not_finite_and_unit_never_gets_out(value: float) -> None:
    class Spoilt:
        def vectors(self, texts: object) -> np.ndarray:
            return np.array([[1, 0], [value, 0]], dtype=np.float32)

    with pytest.raises(ConfigurationError, match="not finite or not unit"):
        CheckedEncoder(Spoilt(), "spoilt", 2).encode(["a", "b"])


def test_a_closed_encoder_is_not_used_again() -> None:
    encoder = load("multilingual")
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.encode(["정책"])


def test_what_lies_behind_256_characters_for_each_token_changes_nothing(encoder: Encoder) -> None:
    vectors = encoder.encode([" " * 256 * 256 + "정책 지원", ""])
    assert np.allclose(vectors[0], vectors[1], atol=1e-6)


def test_an_engine_gets_no_more_of_a_text_than_it_reads() -> None:
    class Recording:
        def vectors(self, texts: Sequence[str]) -> Vectors:
            self.texts = texts
            return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))

    engine = Recording()
    CheckedEncoder(engine, "recording", 2, longest=4).encode(["정책 지원", "", "1234"])
    assert engine.texts == ["정책 지", "", "1234"]
