"""What `waybill audit --json` says, as a shape that other programs may rely on.

`python -m waybill.audit.told` writes its JSON Schema to `docs/reference/audit.schema.json`. Fields
are added, never taken away or given another meaning, within one `format`.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

FORMAT: Literal[2] = 2
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA = "docs/reference/audit.schema.json"
Verdict = Literal["holds", "violated", "not checked"]
Guarantee = Annotated[str, Field(pattern=r"^I([1-9]|1[0-5])$")]
Count = Annotated[int, Field(ge=0)]


class Violated(BaseModel):
    """One thing that is wrong."""

    guarantee: Guarantee
    what: Annotated[str, Field(description="its kind, the same for all of its kind; for machines")]
    ids: Annotated[list[str], Field(description="of what: orders, events, keys, places")]
    text: Annotated[str, Field(description="the sentence for people; may be worded anew")]


class Judged(BaseModel):
    """What one oracle found of one guarantee."""

    guarantee: Guarantee
    promise: str
    verdict: Annotated[Verdict, Field(description="`not checked`: something unseen or missing")]
    refused: Annotated[bool, Field(description="somebody has to act: violations or missing")]
    must_see: Annotated[list[str], Field(description="of what is counted: needed by the verdict")]
    unseen: Annotated[list[str], Field(description="of those, what there was none of")]
    looked_at: Annotated[dict[str, Count], Field(description="what was looked at, and how many")]
    violations: Annotated[list[Violated], Field(description="all of them, never cut short")]
    notes: Annotated[list[str], Field(description="worth knowing, and breaks no guarantee")]
    missing: Annotated[list[str], Field(description="sources that could not be had")]


class Told(BaseModel):
    """One audit."""

    format: Literal[2]
    at: AwareDatetime
    settled: Annotated[bool, Field(description="every order was required to have ended")]
    verdict: Annotated[Verdict, Field(description="the worst of all: violated, then not checked")]
    passes: Annotated[bool, Field(description="every guarantee holds; true only with exit code 0")]
    not_checked: list[Guarantee]
    guarantees: Annotated[list[Judged], Field(min_length=15, max_length=15)]
    notes: Annotated[list[str], Field(description="how the evidence was had")]


def schema() -> str:
    """The JSON Schema of what is told, as its file has it."""
    found = Told.model_json_schema(mode="serialization")
    whole = {"$schema": DIALECT, **found, "title": "waybill audit --json"}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(SCHEMA).write_text(schema(), encoding="utf-8")
