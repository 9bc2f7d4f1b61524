"""Manifests are read as kubectl reads them, and what cannot be read is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from controller.cli.files import Manifest, read


def from_text(tmp_path: Path, text: str, name: str = "objects.yaml") -> list[Manifest]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read([str(path)])


def names(manifests: list[Manifest]) -> list[str]:
    return [manifest.metadata.name for manifest in manifests]


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(click.ClickException) as refused:
        from_text(tmp_path, text)
    return refused.value.message.replace(f"{tmp_path}/", "")


ONE = "apiVersion: v1\nkind: Pod\nmetadata: {name: one}\n"


def test_a_file_holds_several_documents_and_empty_ones_do_not_count(tmp_path):
    assert names(from_text(tmp_path, f"---\n---\n{ONE}---\n{ONE.replace('one', 'two')}---\n# end\n")) == [
        "one",
        "two",
    ]


def test_json_is_read_with_tabs_too(tmp_path):
    text = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}}, indent="\t")
    assert names(from_text(tmp_path, text, "objects.json")) == ["one"]


def test_yaml_may_begin_like_json(tmp_path):
    assert names(from_text(tmp_path, "{apiVersion: v1, kind: Pod, metadata: {name: one}}\n")) == ["one"]


def test_the_items_of_a_list_count_one_by_one(tmp_path):
    text = f"apiVersion: v1\nkind: List\nitems:\n- {{{', '.join(ONE.splitlines())}}}\n"
    assert names(from_text(tmp_path, text)) == ["one"]


def test_the_items_of_a_typed_list_have_its_version_and_kind(tmp_path):
    (item,) = from_text(
        tmp_path, "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: one}}]"
    )
    assert (item.api_version, item.kind) == ("apps/v1", "Deployment")
    assert item.body["kind"] == "Deployment"


def test_an_object_may_have_items_without_being_a_list(tmp_path):
    (item,) = from_text(tmp_path, f"{ONE}items: [1]\n")
    assert item.body["items"] == [1]


def test_dates_stay_text_and_keys_become_text(tmp_path):
    """As in the JSON that kubectl sends."""
    (item,) = from_text(tmp_path, f"{ONE}spec: {{since: 2020-01-02, at: 2020-01-02T03:04:05Z, 80: http}}\n")
    assert item.body["spec"] == {"since": "2020-01-02", "at": "2020-01-02T03:04:05Z", "80": "http"}


def test_a_folder_gives_its_manifests_by_name_and_no_others(tmp_path):
    for name in ("b.yml", "a.yaml", "c.json", "notes.md"):
        text = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name[0]}})
        (tmp_path / name).write_text(text)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "d.yaml").write_text(ONE)
    assert names(read([str(tmp_path)])) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ]", "objects.yaml: line 1, column 7: did not find expected node content"),
        (f"{ONE}kind: Pod\n", "objects.yaml: line 4, column 1: the key 'kind' is there already"),
        (
            f"{ONE}---\nkind: Pod\n",
            "document 2 is no Kubernetes object: Object missing required field `apiVersion`",
        ),
        ("just text", "document 1 is no Kubernetes object: Expected `object`, got `str`"),
        (
            ONE.replace("one", "1"),
            "document 1 is no Kubernetes object: Expected `str`, got `int` - at `$.metadata.name`",
        ),
        (f"{ONE}x: .nan\n", "document 1 is no Kubernetes object: Out of range float"),
        (f"{ONE}x: &x [*x]\n", "document 1 is no Kubernetes object: Circular reference"),
        (f"{ONE}x: !!python/object:os.system {{}}\n", "objects.yaml: line 4, column 4: could not determine"),
    ],
)
def test_what_is_no_object_is_told_with_its_place(tmp_path, text, message):
    assert message in refusal(tmp_path, text)


def test_a_merge_key_may_be_overridden(tmp_path):
    (item,) = from_text(tmp_path, f"{ONE}x: &x {{a: 1}}\ny: {{<<: *x, a: 2}}\n")
    assert item.body["y"] == {"a": 2}


def test_every_unreadable_file_is_named(tmp_path):
    """Not only the first: one wants to mend them all."""
    (tmp_path / "a.yaml").write_text("]")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    with pytest.raises(click.ClickException, match=r"(?s)a\.yaml.*b\.yaml"):
        read([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")])
