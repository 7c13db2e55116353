"""A repository is inspected without its weights being downloaded."""

import re

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
