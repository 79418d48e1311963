"""deploy/kubernetes: the API takes it, its settings are ours, and each exit code has the right end."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import SecretStr

from ops.stack.layout import ROOT
from processor.settings import Block, Settings, load_settings
from reconciler.shard import Shard
from tests.unit.nightly import NIGHTLY, asked, parsed, setting_names

FOLDER: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ["reconcile", "reconcile-sharded"]
WRAPPER: Final = FOLDER / "base" / "exit-code.sh"
VERSIONS: Final = range(29, 38)
"""Of Kubernetes 1.x: 29 is the first with retries by index, and with rules by exit code alone."""
CONTRACT: Final = frozenset({0, 1, 2, 3, 4, 5, 10, 11})


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge, as far as used here: by key, named items by name, null removes, else replaces."""
    if isinstance(base, dict) and isinstance(patch, dict):
        both = {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}
        return {name: value for name, value in base.items() if name not in patch} | both
    if isinstance(patch, list) and all(isinstance(item, dict) and "name" in item for item in patch):
        named = {item["name"]: item for item in base}
        for item in patch:
            named[item["name"]] = merged(named.get(item["name"], {}), item)
        return list(named.values())
    return patch


def cron_job(overlay: str) -> dict[str, Any]:
    job: dict[str, Any] = load(FOLDER / "reconcile" / "cronjob.yaml")
    if overlay == "reconcile-sharded":
        job = merged(job, load(FOLDER / "reconcile-sharded" / "sharded-job.yaml"))
    return job


def job_of(overlay: str) -> Any:
    return cron_job(overlay)["spec"]["jobTemplate"]["spec"]


def pod_of(overlay: str) -> Any:
    return job_of(overlay)["template"]["spec"]


def container_of(overlay: str) -> Any:
    (container,) = pod_of(overlay)["containers"]
    return container


def pairs(name: str) -> dict[str, str]:
    lines = (FOLDER / "base" / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_version_of_kubernetes_that_has_the_fields_takes_them(overlay: str) -> None:
    documents = [cron_job(overlay), load(FOLDER / "reconcile" / "reports.yaml")]
    for minor in VERSIONS:
        for document in documents:
            kubernetes_validate.validate(document, f"1.{minor}", strict=True)


def test_a_field_that_does_not_exist_would_be_seen() -> None:
    job = cron_job("reconcile")
    job["spec"]["jobTemplate"]["spec"]["backoffLimits"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, f"1.{VERSIONS[-1]}", strict=True)


@pytest.mark.parametrize("folder", ["base", *OVERLAYS])
def test_every_file_is_named_by_its_kustomization_and_exists(folder: str) -> None:
    kustomization = load(FOLDER / folder / "kustomization.yaml")
    generators = kustomization.get("configMapGenerator", [])
    named = {
        *kustomization.get("resources", []),
        *(patch["path"] for patch in kustomization.get("patches", []) if "path" in patch),
        *(file for generator in generators for file in generator.get("files", generator.get("envs"))),
    }
    files = {file.name for file in (FOLDER / folder).iterdir()}
    inside = {name for name in named if not name.startswith("../")}
    assert inside == files - {"kustomization.yaml", "secret.env.example", "secret.env"}
    assert all((FOLDER / folder / name).exists() for name in named)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_makes_of_it_what_the_other_tests_look_at(overlay: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    command = [kubectl, "kustomize", str(FOLDER / overlay)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    text = re.sub(r"\b(aegis-(?:settings|scripts))-\w{10}\b", r"\1", text)
    documents = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}
    expected = cron_job(overlay)
    (container,) = expected["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    (image,) = load(FOLDER / "reconcile" / "kustomization.yaml")["images"]
    assert container["image"] == image["name"]
    container["image"] = f"{image['newName']}:{image['newTag']}"
    found = documents.pop(("CronJob", "aegis-reconcile"))
    for one in (found, expected):  # the order of volumes means nothing
        one["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"].sort(
            key=lambda volume: volume["name"]
        )
    assert found == expected
    assert documents.pop(("ConfigMap", "aegis-settings"))["data"] == pairs("settings.env")
    assert documents.pop(("ConfigMap", "aegis-scripts"))["data"] == {WRAPPER.name: WRAPPER.read_text()}
    assert [kind for kind, _ in documents] == (["PersistentVolumeClaim"] if overlay == "reconcile" else [])


def test_every_name_in_the_environment_is_a_setting_and_its_value_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pairs("settings.env") | pairs("secret.env.example")
    assert given.keys() <= setting_names()
    monkeypatch.chdir(tmp_path)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert load_settings().postgres.host == given["POSTGRES_HOST"]


def test_no_secret_is_written_down() -> None:
    from dataclasses import fields
    from typing import get_type_hints

    hints = get_type_hints(Settings)
    blocks: list[type[Block]] = [hints[field.name] for field in fields(Settings)]
    secrets = {
        f"{block.model_config.get('env_prefix', '')}{name}".upper()
        for block in blocks
        for name, field in block.model_fields.items()
        if field.annotation is SecretStr
    }
    assert set(pairs("settings.env")) & secrets == set()
    example = pairs("secret.env.example")
    assert example.keys() <= secrets
    assert set(example.values()) == {""}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "secret.env" in ignored


def test_the_command_is_the_nightly_one() -> None:
    arguments = container_of("reconcile")["args"]
    assert asked(arguments) == NIGHTLY
    assert {Path(value).parent for value in parsed(arguments).values() if isinstance(value, Path)} == {
        Path("/reports")
    }


def test_the_shares_together_are_all_keys() -> None:
    job, arguments = job_of("reconcile-sharded"), container_of("reconcile-sharded")["args"]
    assert asked(arguments) == NIGHTLY
    shards = [
        Shard.parse(parsed([one.replace("$(JOB_COMPLETION_INDEX)", str(n)) for one in arguments])["shard"])
        for n in range(job["completions"])
    ]
    assert job["completionMode"] == "Indexed"
    assert [(shard.number, shard.count) for shard in shards] == [(0, 4), (1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_run_ends_by_itself_before_it_is_ended(overlay: str) -> None:
    job = job_of(overlay)
    turns = job.get("completions", 1) // job.get("parallelism", 1)
    assert job["activeDeadlineSeconds"] >= turns * (NIGHTLY["max_seconds"] + 1_800)


def test_it_starts_at_three_in_korea_and_never_twice_at_once() -> None:
    spec = cron_job("reconcile")["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 3 * * *", "Asia/Seoul")
    assert spec["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_what_may_be_better_in_a_minute_is_tried_again(overlay: str) -> None:
    job, container = job_of(overlay), container_of(overlay)
    drained, *rules = job["podFailurePolicy"]["rules"]
    assert drained["action"] == "Ignore"
    assert all(rule["onExitCodes"]["containerName"] == container["name"] for rule in rules)
    assert all(rule["action"].startswith("Fail") for rule in rules)
    final = {code for rule in rules for code in rule["onExitCodes"]["values"]}
    assert final == {1, 4, 10}
    assert CONTRACT - final - {0, 2} == {3, 5, 11}
    assert job.get("backoffLimitPerIndex", job.get("backoffLimit")) == 3
    assert pod_of(overlay)["restartPolicy"] == "Never"


def test_drift_in_one_share_does_not_end_the_others() -> None:
    _, *rules = job_of("reconcile-sharded")["podFailurePolicy"]["rules"]
    ends_all = [rule["onExitCodes"]["values"] for rule in rules if rule["action"] == "FailJob"]
    assert ends_all == [[10]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_may_do_nothing_but_write_to_its_volumes(overlay: str) -> None:
    pod, container = pod_of(overlay), container_of(overlay)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {pod['securityContext']['runAsUser']}\n" in dockerfile
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"].keys() == {"requests", "limits"}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    temporary = re.search(r"SQLITE_TMPDIR=(\S+)", dockerfile)
    assert temporary is not None
    assert mounts["cache"] == temporary[1]
    assert container["command"] == ["sh", f"{mounts['scripts']}/{WRAPPER.name}"]
