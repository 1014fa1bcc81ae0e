# SPDX-License-Identifier: Apache-2.0
"""Calls to a running manager. Each request and each answer is compared with the document, and it is remembered which operations succeeded."""
import http.client
import json
import ssl

STATUS = {"BAD_REQUEST": {400, 405, 413, 431}, "UNAUTHORIZED": {401}, "NOT_FOUND": {404}, "REFUSED": {409, 429}, "CANCELLED": {409}, "PEER_LOST": {502},
          "RETRY": {503}, "TIMEOUT": {504}, "CORRUPT": {500}, "IN_DOUBT": {500}, "INTERNAL": {500}}
# A task may take its time on a machine that does all at once.
PATIENCE_S = 180


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self):
        return self.body["error"]


class Caller:
    def __init__(self, address, ca, token):
        self.host, self.port = address.rsplit(":", 1)
        self.ca, self.token = ca, token
        self.document = None
        self.succeeded = set()

    def connect(self, certificate=None):
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(certificate)
        return http.client.HTTPSConnection(self.host, int(self.port), context=context, timeout=PATIENCE_S)

    def raw(self, method, path, body=None, headers=None, certificate=None):
        """Any request at all. The answer must be JSON, and if it is an error, the one form with the status of its code."""
        connection = self.connect(certificate)
        try:
            connection.request(method, path, body, {"Authorization": "Bearer " + self.token} if headers is None else headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        what = f"{method} {path[:100]}: {response.status}"
        assert response.getheader("Content-Type") == "application/json", f"{what} is {response.getheader('Content-Type')}: {text[:200]}"
        answer = Answer(response.status, response.headers, json.loads(text))
        if answer.status >= 400 and self.document:
            schema = {"/v1/forecasts": "CheckedErrorAnswer", "/v1/cluster": "ClusterRefusal"}.get(path, "ErrorAnswer")
            self.document.validate(answer.body, {"$ref": "#/components/schemas/" + schema}, what)
            assert answer.status in STATUS[answer.error["code"]], f"{what} for code {answer.error['code']}"
        return answer

    def headers(self):
        """Of who wants documents and no streams."""
        return {"Authorization": "Bearer " + self.token, "Accept": "application/json"}

    def call(self, name, values=None, body=None, query=None, **further):
        """An operation as the document describes it, which must succeed."""
        operation = self.document.operations[name]
        for parameter in operation.parameters:
            value = (query if parameter["in"] == "query" else values or {}) or {}
            if parameter["name"] in value:
                self.document.validate(value[parameter["name"]], parameter["schema"], f"parameter {parameter['name']} of {name}")
        if body is not None:
            self.document.validate(body, operation.body, f"the body of {name}")
        url = operation.url(values or {}, query)
        headers = {} if operation.description.get("security") == [] else self.headers()
        answer = self.raw(operation.method, url, None if body is None else json.dumps(body), headers, **further)
        assert answer.status < 400, f"{name} failed: {answer.body}"
        described = operation.answer(answer.status)
        assert described, f"{name} answered with {answer.status}, which the document does not know"
        self.document.validate(answer.body, described["schema"], f"the answer of {name}")
        self.succeeded.add(name)
        return answer.body

    def refuse(self, name, status, error_id, values=None, body=None, query=None):
        """An operation that must fail like this."""
        operation = self.document.operations[name]
        answer = self.raw(operation.method, operation.url(values or {}, query), None if body is None else json.dumps(body), self.headers())
        assert (answer.status, answer.status >= 400 and answer.error["id"]) == (status, error_id), f"{name}: {answer.status} {answer.body}, not {status} {error_id}"
        return answer

    def stream(self, name, values=None, query=None):
        """Yields the events of a stream as (name, document), each as described."""
        operation = self.document.operations[name]
        known = operation.answer(200, "text/event-stream")["x-events"]
        connection = self.connect()
        try:
            connection.request("GET", operation.url(values or {}, query), headers={"Authorization": "Bearer " + self.token})
            response = connection.getresponse()
            assert response.getheader("Content-Type").startswith("text/event-stream"), response.getheader("Content-Type")
            event = None
            while line := response.readline().decode():
                key, _, value = line.rstrip("\n").partition(": ")
                if key == "event":
                    event = value
                elif key == "data":
                    assert event in known, f"{name} sent the event {event}"
                    self.document.validate(json.loads(value), known[event], f"the event {event} of {name}")
                    self.succeeded.add(name)
                    yield event, json.loads(value)
        finally:
            connection.close()
