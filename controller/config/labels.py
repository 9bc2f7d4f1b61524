"""Label selectors: as they stand in a ConfigTemplate, and as a list or watch request carries them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controller.config import fields
from controller.config.fields import Distinct, Entries
from controller.config.rules import Rule
from controller.config.schema import Schema

_WITH_VALUES = ("In", "NotIn")


class LabelExpression(Schema):
    """A condition on one label."""

    key: fields.LabelKey
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value relates to `values`."""
    values: Distinct[fields.LabelValue] = ()
    """For In and NotIn only."""

    def query(self) -> str:
        """As a part of a labelSelector parameter."""
        match self.operator:
            case "In":
                return f"{self.key} in ({','.join(sorted(self.values))})"
            case "NotIn":
                return f"{self.key} notin ({','.join(sorted(self.values))})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"


class LabelSelector(Schema):
    """Selects objects by their labels; all conditions must hold."""

    match_labels: Entries[fields.LabelValue] = Field(default_factory=dict)
    """Labels and the values they must have."""
    match_expressions: Annotated[
        tuple[
            Annotated[
                LabelExpression,
                Rule(
                    cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                    message="In and NotIn need values, Exists and DoesNotExist take none",
                    field="values",
                    broken=lambda it: (
                        [("values",)] if (it.operator in _WITH_VALUES) != bool(it.values) else []
                    ),
                ),
            ],
            ...,
        ],
        Field(max_length=fields.LIST_LIMIT),
    ] = ()
    """Further conditions."""

    def query(self) -> str:
        """The labelSelector parameter of a list or watch; the same text however the selector is ordered."""
        labels = (f"{key}={value}" for key, value in self.match_labels.items())
        return ",".join(sorted((*labels, *(expression.query() for expression in self.match_expressions))))
