# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.json as a thing to compare with: schemas, operations, and what a call to one of them must look like."""
import copy
import re
import urllib.parse

import jsonschema

SCHEMAS = "#/components/schemas/"


def strict(schema):
    """A copy in which an object has no members but those that are described: clients ignore what they do not know, a test must not."""
    schema = copy.deepcopy(schema)
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "properties" in node and isinstance(node["properties"], dict) and node.get("type") in ("object", ["object", "null"]):
                node.setdefault("additionalProperties", False)
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return schema


class Operation:
    def __init__(self, document, path, method, description):
        self.document = document
        self.path, self.method, self.description = path, method.upper(), description
        self.name = description["operationId"]
        self.parameters = [document.resolve(parameter) for parameter in description.get("parameters", [])]

    @property
    def body(self):
        """The schema of the request's body; one without members if it has none."""
        request = self.description.get("requestBody")
        if not request:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        return self.document.resolve(request["content"]["application/json"]["schema"])

    def answer(self, status, kind="application/json"):
        """The schema of an answer with that status, or None if it is not described."""
        responses = self.description["responses"]
        found = responses.get(str(status)) or (responses["default"] if status >= 400 else None)
        return self.document.resolve(found)["content"][kind] if found else None

    def url(self, values, query):
        text = self.path
        for name, value in values.items():
            text = text.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
        return text + ("?" + urllib.parse.urlencode(query) if query else "")


class Document:
    def __init__(self, document):
        self.whole = document
        self.strict = strict(document)
        self.operations = {}
        for path, methods in document["paths"].items():
            for method, description in methods.items():
                operation = Operation(self, path, method, description)
                assert operation.name not in self.operations, f"two operations are called {operation.name}"
                self.operations[operation.name] = operation

    def resolve(self, node):
        while "$ref" in node:
            found = self.whole
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node

    def validate(self, value, schema, what):
        whole = {**strict(schema), "components": self.strict["components"]}
        problems = sorted(jsonschema.Draft202012Validator(whole).iter_errors(value), key=lambda found: list(found.absolute_path))
        if problems:
            texts = []
            for found in problems[:5]:
                deepest = min(found.context or [found], key=lambda inner: -len(inner.absolute_path))
                texts.append(f"{found.json_path}: {found.message[:300]}" + ("" if deepest is found else f" (of these {deepest.json_path}: {deepest.message[:300]})"))
            raise AssertionError(f"{what} is not as the document says: " + "; ".join(texts))

    def check_itself(self):
        """References lead somewhere, schemas are schemas, and each {name} of a path is described."""
        pending = [self.whole]
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                if isinstance(node.get("$ref"), str):
                    self.resolve(node)
                pending += node.values()
            elif isinstance(node, list):
                pending += node
        used = set(re.findall(re.escape(SCHEMAS) + r"(\w+)", repr(self.whole)))
        schemas = self.whole["components"]["schemas"]
        assert used == set(schemas), f"schemas that nothing uses, or that are missing: {used ^ set(schemas)}"
        for name, schema in schemas.items():
            jsonschema.Draft202012Validator.check_schema(schema)
        for operation in self.operations.values():
            in_path = {parameter["name"] for parameter in operation.parameters if parameter["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", operation.path)), f"the parameters of {operation.path}"
