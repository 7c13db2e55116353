"""A repository is inspected without its weights being downloaded."""

import re

import pytest

CODE = """
from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint
found = inspect_checkpoint(name)
parts = [part.name for part in found.parts]
result = [found.parameters, found.revision, parts, found.oddities, found.next_steps[0].command]
"""


def test_a_repository_is_inspected_by_ranged_reads(hub, push, checkpoint, python, monkeypatch):
    from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint

    push(checkpoint, "user/inspected")
    served = []
    handler = hub.servers[0].RequestHandlerClass
    send = handler.send

    def counted(self, status, content, headers=None):
        if self.command == "GET" and isinstance(content, bytes):
            served.append(len(content))
        return send(self, status, content, headers)

    monkeypatch.setattr(handler, "send", counted)
    parameters, revision, parts, oddities, command = python()(CODE, name="user/inspected")
    whole = inspect_checkpoint(str(checkpoint))
    assert (parameters, parts) == (whole.parameters, [part.name for part in whole.parts])
    assert revision == hub.repositories["user/inspected"].head and re.search("user/inspected", command)
    assert not [each for each in oddities if "cut off" in each or "missing" in each]
    weights = (checkpoint / "model.safetensors").stat().st_size
    assert sum(served) < weights / 5


def test_what_the_hub_does_not_give_is_named_with_the_way_out(hub, push, checkpoint, python, failed):
    for name in ("gated", "secret", "open"):
        push(checkpoint, f"user/{name}-policy")
    hub.repositories["user/gated-policy"].gated = hub.repositories["user/secret-policy"].private = True
    ask = "from vlahub.conversion.inspection.inspect_checkpoint import inspect_checkpoint\n"
    ask += "result = inspect_checkpoint(name, revision=revision, token=token).kind"
    process = python()
    for name, token, revision, words in (
        ("user/gated-policy", "strangers", None, "is gated: ask for access on its page"),
        ("user/gated-policy", False, None, "is gated: ask for access on its page"),
        ("user/secret-policy", "strangers", None, "has none of this name, or it is private"),
        ("user/secret-policy", False, None, "has none of this name, or it is private"),
        ("user/nothing", "dummy", None, "has none of this name, or it is private"),
        ("user/open-policy", "dummy", "v9", "has no revision v9"),
        ("user/open-policy", "of nobody", None, "the Hub does not take the token"),
    ):
        with pytest.raises(failed, match=words) as ended:
            process(ask, name=name, token=token, revision=revision)
        assert ended.value.kind == "ConversionError" and "Client Error" not in str(ended.value)
    assert process(ask, name="user/gated-policy", token="dummy", revision=None) == "checkpoint"
    read = "from vlahub.conversion.source_folder import source_folder\nresult = str(source_folder(name))"
    with pytest.raises(failed, match="has none of this name"):
        process(read, name="user/nothing")
