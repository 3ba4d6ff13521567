from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from armt_server import schemas
from armt_server.api import examples
from armt_server.app import create_app
from armt_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

SCHEMA = create_app(Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in SCHEMA["paths"].items()
    for method, operation in operations.items()
}
BAD_BODY = {"422", "415", "413"}
MUST_TELL = {
    "POST /v1/sessions": {"201", "503", "507", *BAD_BODY},
    "GET /v1/sessions": {"200", "404", "422", "503"},
    "GET /v1/sessions/{session_id}": {"200", "404", "410", "503"},
    "PATCH /v1/sessions/{session_id}": {"200", "404", "410", "503", "507", *BAD_BODY},
    "DELETE /v1/sessions/{session_id}": {"204", "404", "410", "503"},
    "HEAD /v1/sessions/{session_id}/context": {"200", "404", "410", "503"},
    "PATCH /v1/sessions/{session_id}/context": {"204", "404", "409", "410", "429", "503", "507", *BAD_BODY},
    "POST /v1/sessions/{session_id}/context": {"200", "404", "409", "410", "429", "503", "507", *BAD_BODY},
    "POST /v1/sessions/{session_id}/queries": {"200", "404", "409", "410", "503", *BAD_BODY},
    "GET /v1/models": {"200"},
    "GET /healthz": {"200"},
    "GET /readyz": {"200", "503"},
    "GET /v1/limits": {"200"},
}


@pytest.fixture(params=sorted(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPERATIONS[request.param]


def test_every_route_is_described():
    assert set(OPERATIONS) == set(MUST_TELL)


@pytest.mark.parametrize("name", sorted(MUST_TELL))
def test_every_operation_tells_its_replies_and_no_others(name: str):
    assert set(OPERATIONS[name]["responses"]) == MUST_TELL[name] | {"500"}


def test_every_operation_has_a_summary_a_description_a_tag_and_a_name_of_its_own(operation: dict[str, Any]):
    assert operation["summary"]
    assert operation["description"]
    assert [tag for tag in SCHEMA["tags"] if tag["name"] == operation["tags"][0]]
    assert sum(other["operationId"] == operation["operationId"] for other in OPERATIONS.values()) == 1


def test_every_body_has_an_example(operation: dict[str, Any]):
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert "example" in content or _referred(content["schema"]).get("examples")
    for status, reply in operation["responses"].items():
        assert reply["description"]
        for content in reply.get("content", {}).values():
            assert "example" in content or content["examples"]
        assert "content" in reply or status == "204" or not _answers_with_a_body(operation)


def test_every_error_is_a_problem_with_an_example_of_each_code(operation: dict[str, Any]):
    for status, reply in operation["responses"].items():
        if status < "400":
            continue
        [(kind, content)] = reply["content"].items()
        assert kind == "application/problem+json"
        assert content["schema"]["$ref"].endswith("/Problem")
        for code, example in content["examples"].items():
            told = schemas.Problem.model_validate(example["value"])
            assert (told.code, str(told.status)) == (code, status)


def test_every_operation_tells_of_the_request_id(operation: dict[str, Any]):
    assert "X-Request-Id" in [parameter["name"] for parameter in operation["parameters"]]
    assert all("X-Request-Id" in reply["headers"] for reply in operation["responses"].values())


def test_the_raw_append_is_described():
    patch = OPERATIONS["PATCH /v1/sessions/{session_id}/context"]
    parameters = {item["name"]: item for item in patch["parameters"]}
    assert parameters["Upload-Offset"]["required"] is True
    assert parameters["Upload-Offset"]["schema"]["minimum"] == 0
    assert "Prefer" in parameters
    assert set(patch["requestBody"]["content"]) == {
        "application/offset+octet-stream",
        "application/octet-stream",
        "text/plain",
    }
    assert {"Upload-Offset", "Preference-Applied"} <= set(patch["responses"]["204"]["headers"])
    assert "Upload-Offset" in patch["responses"]["409"]["headers"]
    assert "Retry-After" in patch["responses"]["429"]["headers"]


def test_a_query_is_described_as_events_too():
    reply = OPERATIONS["POST /v1/sessions/{session_id}/queries"]["responses"]["200"]
    assert "event: query.completed" in reply["content"]["text/event-stream"]["example"]


def test_every_reference_leads_somewhere():
    for reference in _references(SCHEMA):
        _referred({"$ref": reference})


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (schemas.Session, examples.SESSION),
        (schemas.Session, examples.NEW_SESSION),
        (schemas.SessionList, examples.SESSION_LIST),
        (schemas.Appended, examples.APPENDED),
        (schemas.Query, examples.QUERY),
        (schemas.ModelList, examples.MODEL_LIST),
        (schemas.Health, examples.HEALTH),
        (schemas.Ready, examples.READY),
        (schemas.Limits, examples.LIMITS),
    ],
)
def test_an_example_of_a_reply_is_what_the_server_would_send(model: type[BaseModel], example: dict[str, Any]):
    assert model.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize(
    "model", [schemas.CreateSession, schemas.UpdateSession, schemas.AppendText, schemas.AskQuestion]
)
def test_an_example_of_a_request_is_one_that_the_server_takes(model: type[BaseModel]):
    for example in model.model_json_schema()["examples"]:
        model.model_validate(example)


def _answers_with_a_body(operation: dict[str, Any]) -> bool:
    return operation["operationId"] != "head_context"


def _referred(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where it refers to one (through a null, for a body that may be left out)."""
    schema = next((option for option in schema.get("anyOf", []) if "$ref" in option), schema)
    found: dict[str, Any] = SCHEMA
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
