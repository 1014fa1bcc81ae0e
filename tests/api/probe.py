# SPDX-License-Identifier: Apache-2.0
"""What a request may hold: the document's members and limits are tried on the manager, which must draw the line in the same place."""
import copy
import json
import re


class Probe:
    """An operation with a body that is refused for something else, so that what is tried changes nothing; `inside` leads to the object that is tried."""

    def __init__(self, caller, name, values, body, inside=()):
        self.caller, self.values, self.base, self.inside = caller, values, body, inside
        self.operation = caller.document.operations[name]
        self.where = " ".join([name, *inside])
        self.schema = self.operation.body
        for step in inside:
            self.schema = caller.document.resolve(self.schema["properties"][step])
            self.schema = caller.document.resolve(self.schema.get("items", self.schema))

    def send(self, member, *value):
        """The answer to the body with that member as `value`, or without it."""
        body = copy.deepcopy(self.base)
        target = body
        for step in self.inside:
            target = target[step][0] if isinstance(target[step], list) else target[step]
        if value:
            target[member] = value[0]
        else:
            target.pop(member, None)
        return self.caller.raw(self.operation.method, self.operation.url(self.values, None), json.dumps(body))

    def is_about(self, answer, member):
        """The manager has something against this member."""
        if answer.status != 400:
            return False
        arguments = answer.error["arguments"]
        # "spec" and then "disks[0].path" in it.
        where = arguments.get("field", arguments.get("member", ""))
        return re.sub(r"\[\d+\]$", "", where).split(".")[-1] == member

    def must_refuse(self, member, *value):
        answer = self.send(member, *value)
        assert self.is_about(answer, member), f"{self.where}: {member} = {str(value)[:80]} is not refused: {answer.status} {answer.body}"

    def must_take(self, member, value):
        answer = self.send(member, value)
        assert not self.is_about(answer, member), f"{self.where}: {member} = {str(value)[:80]} is refused: {answer.body}"

    def members(self):
        answer = self.send("no_such_member", 1)
        assert answer.status == 400 and answer.error["id"] in ("unknown-member", "field-unknown"), f"{self.where}: {answer.body}"
        known = re.sub(r"^.*(of this request|known here): ", "", answer.error["fix"]).split(", ") if ": " in answer.error["fix"] else []
        if not self.schema["properties"]:
            assert "no members" in answer.error["fix"], f"{self.where}: {answer.body}"
            return
        missing = set(self.schema["properties"]) - set(known)
        assert not missing, f"{self.where}: the manager does not know {missing}: {answer.error['fix']}"
        for name in set(known) - set(self.schema["properties"]):
            # Part of the same object elsewhere, and refused here.
            refused = self.send(name, "45ae2c17-d0d6-4ff3-b08f-e91e988a9fc1")
            assert refused.status == 400, f"{self.where}: the document does not know {name}: {refused.status} {refused.body}"

    def limits_of(self, name, schema):
        schema = self.caller.document.resolve(schema)
        kind = schema["type"]
        self.must_refuse(name, {"integer": "7", "string": 7, "boolean": "yes", "array": {}, "object": []}[kind])
        if kind == "integer":
            self.must_refuse(name, 1.5)
            if "minimum" in schema:
                self.must_refuse(name, schema["minimum"] - 1)
                self.must_take(name, schema["minimum"])
            if "maximum" in schema:
                self.must_refuse(name, schema["maximum"] + 1)
                if name != "cpu_reservation_percent" or "cpus" not in self.schema["properties"]: # bounded by the CPUs as well
                    self.must_take(name, schema["maximum"])
        for value in schema.get("enum", []):
            self.must_take(name, value)
        if "enum" in schema or "pattern" in schema:
            self.must_refuse(name, "no\u0001thing")
        if "maxLength" in schema:
            self.must_refuse(name, ("/" if schema.get("pattern", "").startswith(("^/", "^(/")) else "") + "a" * (schema["maxLength"] + 1))
        if "maxItems" in schema:
            self.must_refuse(name, [self.example(schema["items"], n) for n in range(schema["maxItems"] + 1)])
        if schema.get("minItems"):
            self.must_refuse(name, [])

    def example(self, schema, n):
        schema = self.caller.document.resolve(schema)
        if schema["type"] == "string":
            return f"n{n}"
        return {"path": f"/disk{n}", "format": "raw"} if "path" in schema["properties"] else {"network": "net"}

    def all(self):
        self.members()
        for name, schema in self.schema["properties"].items():
            self.limits_of(name, schema)
        for name in self.schema.get("required", []):
            self.must_refuse(name)
