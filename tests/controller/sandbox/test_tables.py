"""The columns of `kubectl get`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.sandbox.kinds import Column, Kind
from controller.sandbox.statuses import Object
from controller.sandbox.tables import age, table


def cells(obj: Object, *columns: Column) -> list[object]:
    kind = Kind(group="", version="v1", kind="X", plural="xs", columns=columns)
    return list(table(kind, [{"metadata": {"name": "a"}, **obj}], {})["rows"][0]["cells"])


def test_a_column_finds_one_condition_among_several():
    conditions = [{"type": "Valid", "status": "False"}, {"type": "Ready", "status": "True"}]
    column = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
    assert cells({"status": {"conditions": conditions}}, column) == ["a", "True"]


def test_several_values_are_joined_and_none_is_null():
    column = Column("Hosts", ".hosts[*].name")
    assert cells({"hosts": [{"name": "x"}, {"name": "y"}]}, column) == ["a", "x,y"]
    assert cells({}, column) == ["a", None]


def test_numbers_stay_numbers():
    assert cells({"size": 3}, Column("Size", ".size", "integer")) == ["a", 3]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (119, "119s"), (150, "2m"), (7300, "2h"), (3 * 86400, "3d"), (-5, "0s")]
)
def test_an_age_is_told_in_its_largest_unit(seconds, text):
    since = datetime.now(UTC) - timedelta(seconds=seconds + 0.5)
    assert age(since.isoformat()) == text


def test_what_is_no_time_is_shown_as_it_is():
    assert age("soon") == "soon"
