from __future__ import annotations

import inspect
import re

import pytest

from armt_server import errors
from armt_server.errors import ServerError


def _classes() -> list[type[ServerError]]:
    return [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ServerError)]


def test_every_error_has_a_code_of_its_own():
    codes = [item.code for item in _classes()]
    assert sorted(set(codes)) == sorted(codes)


def test_the_drawn_tree_is_the_real_one():
    drawn = {}
    parents: list[str] = []
    for indent, name, status, code in re.findall(
        r"^([│├└─ ]*)([A-Z]\w+) +(?:(\d{3}) (\w+))?", errors.__doc__ or "", re.MULTILINE
    ):
        depth = len(indent) // 4
        del parents[depth:]
        drawn[name] = (parents[-1] if parents else "Exception", status and int(status), code)
        parents.append(name)
    drawn = {name: told for name, told in drawn.items() if name in vars(errors)}
    assert set(drawn) == {item.__name__ for item in _classes()}
    for item in _classes():
        parent, status, code = drawn[item.__name__]
        assert item.__base__ is not None
        assert parent == item.__base__.__name__, item
        if code:
            assert (status, code) == (item.status, item.code)


@pytest.mark.parametrize("item", _classes())
def test_every_error_has_an_error_status_and_a_title(item: type[ServerError]):
    assert 400 <= item.status <= 599
    assert item.title


def test_a_wrong_offset_carries_the_right_one():
    error = errors.OffsetMismatch(42)
    assert error.current == 42
    assert error.headers == {"Upload-Offset": "42"}
    assert "42" in error.detail


def test_what_may_work_later_says_when():
    assert errors.ShuttingDown().headers["Retry-After"] == "2"
    assert errors.TooManyPending("wait", retry_after=3).headers == {"Retry-After": "3"}
