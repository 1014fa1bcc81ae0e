#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""walk.py ADDRESS:PORT CA TOKEN FOLDER FILE: walks through every operation of the API of a lab's manager (host h1 with the running VMs "web" and "other", hosts h2
and h3, whose agent is off), and compares requests, answers, limits and errors with the document that it serves, which must be FILE."""
import json
import os
import subprocess
import sys
import time

from caller import Caller
from document import Document
from probe import Probe


def csr_of(folder, name):
    key, csr = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".csr")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout", key,
                    "-out", csr], check=True, capture_output=True)
    with open(csr, encoding="ascii") as file:
        return key, file.read()


def hosts(caller, folder):
    caller.call("listHosts")
    caller.call("showHost", {"host": "h1"})
    token = caller.call("addHost", body={"name": "ghost", "address": "198.18.1.99", "port": 8443})["token"]
    key, csr = csr_of(folder, "ghost")
    caller.refuse("enroll", 401, "enrolment-token", body={"token": token + "0", "csr": csr})
    signed = caller.call("enroll", body={"token": token, "csr": csr})
    both = os.path.join(folder, "ghost.pem")
    with open(both, "w", encoding="ascii") as file, open(key, encoding="ascii") as private:
        file.write(signed["certificate"] + private.read())
    caller.call("renew", body={"csr": csr}, certificate=both)
    caller.call("enrollAgain", {"host": "ghost"})
    caller.refuse("adoptHost", 409, "host-exists", {"host": "h1"}, {"address": "198.18.1.11"})
    caller.call("removeHost", {"host": "ghost"})
    caller.refuse("removeHost", 409, "host-in-use", {"host": "h1"})
    assert caller.call("enterMaintenance", {"host": "h2"})["maintenance"] == "yes"
    caller.refuse("createVm", 409, "host-in-maintenance", body={"host": "h2", "spec": {"name": "late", "memory_mib": 64}})
    caller.call("leaveMaintenance", {"host": "h2"})
    # h2 has no VM: it may go, and is known again by its certificate.
    caller.call("removeHost", {"host": "h2"})
    caller.call("adoptHost", {"host": "h2"}, {"address": "198.18.1.12"})
    wait(lambda: caller.call("showHost", {"host": "h2"})["state"] == "connected", "host h2 to be connected")


def wait(condition, what):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.2)


def vms(caller):
    spec = {"name": "new", "memory_mib": 128, "disks": [], "nics": [{"network": "vmnet"}]}
    caller.call("createVm", body={"host": "h1", "spec": spec, "client_key": "walk"})
    made = caller.call("createVm", body={"host": "h1", "spec": spec, "client_key": "walk"})
    uuid = made["spec"]["uuid"]
    caller.refuse("createVm", 409, "vm-exists", body={"host": "h1", "spec": spec})
    caller.call("changeVm", {"vm": uuid}, {"memory_mib": 256, "autostart": True})
    caller.call("listVms")
    caller.call("showVm", {"vm": "web"})
    caller.call("startVm", {"vm": "new"})
    caller.refuse("changeVm", 409, "vm-not-off", {"vm": "new"}, {"cpus": 2})
    caller.refuse("removeVm", 409, "vm-not-off", {"vm": "new"})
    caller.call("readConsole", {"vm": "web"}, query={"offset": 0})
    caller.call("readConsole", {"vm": "web"}, query={"offset": 0, "wait_ms": 1000, "host": "h1"})
    caller.call("setBalloon", {"vm": "web"}, {"target_mib": caller.call("showVm", {"vm": "web"})["spec"]["memory_mib"]})
    caller.refuse("setBalloon", 400, "balloon-target", {"vm": "web"}, {"target_mib": 31})
    caller.call("typeOnConsole", {"vm": "web"}, {"text": "hello\r"})
    disks(caller)
    caller.call("createPool", body={"path": "lab", "memory_limit_mib": 4096})
    caller.call("createPool", body={"path": "lab/in", "cpu_shares": "high"})
    caller.refuse("createPool", 409, "pool-exists", body={"path": "lab"})
    caller.call("changePool", {"pool": "lab/in"}, {"cpu_shares": "low"})
    caller.call("assignPool", {"vm": "new"}, {"pool": "lab/in"})
    caller.call("showPool", {"pool": "lab/in"})
    caller.call("listPools")
    caller.refuse("removePool", 409, "pool-in-use", {"pool": "lab/in"})
    caller.call("stopVm", {"vm": "new"}, {"force": True})
    caller.call("removeVm", {"vm": "new"})
    caller.call("removePool", {"pool": "lab/in"})
    assert caller.call("changeCluster", body={"cpu_baseline": "none"})["cpu_baseline"] == "none"
    refused = caller.raw("PATCH", "/v1/cluster", json.dumps({"cpu_baseline": "No-Such-CPU"}))
    assert refused.error["id"] == "cpu-baseline-refused" and [host["host"] for host in refused.body["hosts"]] == ["h1", "h2"], refused.body
    # What every x86 host can provide.
    caller.call("changeCluster", body={"cpu_baseline": "pentium3"})
    shown = caller.call("showCluster")
    assert shown["cpu_baseline"] == "pentium3" and {vm["vm"] for vm in shown["power_cycle_needed"]} >= {"web", "other"}, shown
    caller.refuse("createVm", 409, "cpu-beyond-baseline", body={"host": "h1", "spec": {"name": "more", "memory_mib": 64, "cpu_model": "Nehalem"}})
    caller.call("changeCluster", body={"cpu_baseline": "none"})
    # The agent of h3 is off.
    caller.refuse("createVm", 502, "peer-lost", body={"host": "h3", "spec": {"name": "lost", "memory_mib": 64}})


def disks(caller):
    """Of the VM "web", which runs and boots a kernel, so that no disk is the one that it has booted from."""
    vm = {"vm": "web"}
    image = {"datastore": "shared", "file": "walk.iso", "format": "raw"}
    caller.call("addDisk", vm, {"disk": image, "create": {"size_bytes": 1 << 20}})
    caller.refuse("addDisk", 409, "disk-in-use", vm, {"disk": image})
    caller.refuse("addDisk", 409, "disk-in-use", {"vm": "new"}, {"disk": image})
    caller.call("resizeDisk", {**vm, "disk": "shared:walk.iso"}, {"size_bytes": 2 << 20})
    caller.refuse("resizeDisk", 409, "disk-shrinks", {**vm, "disk": "disk0"}, {"size_bytes": 1 << 20})
    listed = caller.call("listDisks", vm)["disks"]
    assert [(disk["name"], disk["size_bytes"]) for disk in listed] == [("disk0", 2 << 20)], listed
    caller.refuse("ejectDisk", 409, "disk-kind", {**vm, "disk": "disk0"}, {})
    caller.call("detachDisk", {**vm, "disk": "disk0"})
    caller.refuse("addDisk", 409, "disk-exists", vm, {"disk": image, "create": {"size_bytes": 1 << 20}})
    caller.call("addDisk", vm, {"disk": {**image, "media": "cdrom"}})
    caller.call("ejectDisk", {**vm, "disk": "disk0"}, {"force": True})
    caller.call("insertDisk", {**vm, "disk": "disk0"}, {"medium": image})
    caller.call("detachDisk", {**vm, "disk": "disk0"}, {"delete_file": True})
    caller.refuse("detachDisk", 404, "disk-not-found", {**vm, "disk": "disk0"})
    storage(caller)


def storage(caller):
    """A disk of "web", which stays where it is, goes to a datastore."""
    folder = os.path.join(caller.call("showDatastore", {"datastore": "shared"})["hosts"][0]["path"], "walk")
    here = {"vm": "web", "options": {"datastore": "shared"}}
    os.mkdir(folder)
    with open(os.path.join(folder, "walk.raw"), "wb") as image:
        image.truncate(1 << 20)
    for path in (folder, image.name):
        os.chown(path, 64101, 64101)
    caller.call("addDisk", {"vm": "web"}, {"disk": {"path": image.name, "format": "raw"}})
    caller.refuse("migrate", 400, "member-missing", body={"vm": "web"})
    assert caller.call("forecast", body=here)["forecast"] is None
    task = caller.call("migrate", body=here)
    assert [document["state"] for _, document in caller.stream("followTask", {"task": task["task"]})][-1] == "success"
    [moved] = caller.call("listDisks", {"vm": "web"})["disks"]
    assert (moved["datastore"], moved["file"], moved["moves"]) == ("shared", "walk.raw", 1) and not os.path.exists(image.name), moved
    caller.refuse("forecast", 409, "disks-are-there", body=here)
    caller.call("detachDisk", {"vm": "web", "disk": "disk0"}, {"delete_file": True})
    os.rmdir(folder)


def datastores(caller):
    seen = caller.call("showDatastore", {"datastore": "shared"})
    assert [host["state"] for host in seen["hosts"] if host["host"] == "h1"] == ["ok"], seen
    caller.refuse("initDatastore", 409, "datastore-initialised", {"host": "h1", "datastore": "shared"}, {})
    # All hosts have one folder: without its identity each takes it for one where nothing is mounted.
    os.unlink(os.path.join(seen["hosts"][0]["path"], ".godwit-datastore"))
    wait(lambda: caller.call("showDatastore", {"datastore": "shared"})["hosts"][0]["state"] == "missing", "the loss to be seen")
    caller.refuse("initDatastore", 409, "datastore-known", {"host": "h1", "datastore": "shared"}, {})
    caller.call("initDatastore", {"host": "h1", "datastore": "shared"}, {"force": True})
    # Of h3, whose agent is off, the old one is known.
    wait(lambda: len({host["uuid"] for host in caller.call("showDatastore", {"datastore": "shared"})["hosts"] if host["host"] != "h3"}) == 1, "h2 to see it too")
    caller.call("listDatastores")


def moves(caller):
    wish = {"vm": "web", "destination": "h2"}
    checks = caller.call("check", body={"vm": "web"})
    results = {host["host"]: host["result"] for host in checks["hosts"]}
    assert results["h2"] in ("passed", "warnings") and results["h3"] == "refused", results
    way = caller.call("diagnose", body={"from": "h1", "to": "h2"})
    assert way["there"]["pairs"] and way["back"]["pairs"] and not [line for line in way["checks"] if line["verdict"] == "problem"], way
    way = caller.call("diagnose", body={"from": "h1", "to": "h3"})
    assert [line["id"] for line in way["checks"] if line["verdict"] == "problem"] == ["host"], way
    caller.call("forecast", body={**wish, "options": {"bandwidth_mb_s": 100}})
    way = caller.call("diagnose", body={"from": "h1", "to": "h2"})
    assert way["checks"] and way["there"]["pairs"], way
    assert caller.call("diagnose", body={"from": "h1", "to": "h3"})["checks"]
    refused = caller.raw("POST", "/v1/forecasts", json.dumps({"vm": "web", "destination": "h3"}))
    assert refused.error["id"] == "host-disconnected" and refused.body["findings"], refused.body
    task = caller.call("migrate", body={**wish, "options": {"bandwidth_mb_s": 20, "priority": "high"}, "client_key": "walk"})
    seen = [document["state"] for _, document in caller.stream("followTask", {"task": task["task"]})]
    assert seen[-1] == "success", seen
    shown = caller.call("showTask", {"task": task["task"]})
    assert shown["timeline"] and shown["specification"] and shown["rounds"] and shown["switch_over"], shown
    caller.refuse("cancelTask", 409, "too-late-to-cancel", {"task": task["task"]})
    slow = caller.call("migrate", body={"vm": "other", "destination": "h2", "options": {"bandwidth_mb_s": 1}})
    caller.refuse("migrate", 409, "task-running", body={"vm": "other", "destination": "h2"})
    wait(lambda: caller.call("showTask", {"task": slow["task"]})["phase"] == "copy", "the copy")
    caller.call("cancelTask", {"task": slow["task"]})
    wait(lambda: caller.call("showTask", {"task": slow["task"]})["state"] == "cancelled", "the cancelled task")
    failed = caller.call("migrate", body={"vm": "other", "destination": "h3"})
    wait(lambda: caller.call("showTask", {"task": failed["task"]})["state"] == "error", "the failed task")
    caller.call("listTasks", query={"limit": 10})
    # "other" is at h1, which answers; h3 does not.
    caller.call("showOwnership", {"vm": "other"})
    caller.refuse("settleVm", 400, "confirm-differs", {"vm": "other"}, {"owner": "h1", "confirm": "h2"})
    caller.refuse("settleVm", 409, "host-not-answering", {"vm": "other"}, {"owner": "h1", "confirm": "h1"})
    caller.call("settleVm", {"vm": "other"}, {"owner": "h1", "confirm": "h1", "hosts_down": ["h3"]})
    caller.call("showOwnership", {"vm": "other"})


def tokens_and_events(caller, file):
    with open(file, encoding="utf-8") as source:
        assert caller.call("showApi") == json.load(source), "the manager serves another document"
    about = caller.call("about")
    assert about["version"] == caller.document.whole["info"]["version"], f"the document is of another version than {about}"
    caller.call("addToken", body={"name": "walker"})
    caller.call("listTokens")
    caller.call("removeToken", {"name": "walker"})
    types = {row["type"] for row in caller.call("listEventTypes")["types"]}
    stored = caller.call("followEvents", query={"since": 0})["events"]
    assert {event["type"] for event in stored} <= types
    kinds = {event["kind"] for event in stored}
    assert kinds >= {"host", "vm", "task", "cluster", "pool", "datastore", "forecast", "audit", "recovery"}, kinds
    for count, _ in enumerate(caller.stream("followEvents", query={"since": 0}), 1):
        if count == len(stored):
            break


def limits(caller):
    nic = {"network": "net"}
    spec = {"name": "x", "memory_mib": 64, "guest_agent": True, "disks": [{"path": "/d", "format": "raw"}], "nics": [nic]}
    wish = {"vm": "web", "destination": "nowhere", "options": {}}
    for name, values, body, *inside in [
            ("addHost", {}, {"name": "h1", "address": "198.18.1.11"}),
            ("adoptHost", {"host": "h1"}, {"address": "198.18.1.11"}),
            ("createVm", {}, {"host": "nowhere", "spec": spec}, (), ("spec",), ("spec", "disks"), ("spec", "nics")),
            ("changeVm", {"vm": "web"}, {"guest_agent": True}),
            ("stopVm", {"vm": "nobody"}, {}),
            ("addDisk", {"vm": "nobody"}, {"disk": {"path": "/d", "format": "raw"}}, (), ("disk",)),
            ("addDisk", {"vm": "nobody"}, {"disk": {"datastore": "d", "file": "f", "format": "raw"}, "create": {"size_bytes": 1 << 20}}, ("create",)),
            ("detachDisk", {"vm": "nobody", "disk": "disk0"}, {}),
            ("resizeDisk", {"vm": "nobody", "disk": "disk0"}, {"size_bytes": 1 << 20}),
            ("ejectDisk", {"vm": "nobody", "disk": "disk0"}, {}),
            ("insertDisk", {"vm": "nobody", "disk": "disk0"}, {"medium": {"path": "/d", "format": "raw"}}, (), ("medium",)),
            ("settleVm", {"vm": "nobody"}, {"owner": "nowhere", "confirm": "nowhere"}),
            ("assignPool", {"vm": "nobody"}, {"pool": "nowhere"}),
            ("changeCluster", {}, {"cpu_baseline": "No-Such-CPU"}),
            ("createPool", {}, {"path": "not/there"}),
            ("changePool", {"pool": "lab"}, {}),
            ("initDatastore", {"host": "nowhere", "datastore": "shared"}, {}),
            ("migrate", {}, wish, (), ("options",)),
            ("check", {}, {"vm": "web"}),
            ("check", {}, {"vm": "web", "destinations": ["nowhere"], "options": {}}, ("options",)),
            ("diagnose", {}, {"from": "nowhere", "to": "nowhere"}),
            ("forecast", {}, wish, (), ("options",)),
            ("diagnose", {}, {"from": "nowhere", "to": "h1"}),
            ("addToken", {}, {"name": "x"}),
            ("enroll", {}, {"token": "x", "csr": "x"}),
            ("enrollAgain", {"host": "nowhere"}, {}),
            ("enterMaintenance", {"host": "nowhere"}, {}),
            ("startVm", {"vm": "nobody"}, {}),
            ("cancelTask", {"task": "nope"}, {})]:
        for part in inside or [()]:
            Probe(caller, name, values, body, part).all()
    for operation in caller.document.operations.values():
        for parameter in operation.parameters:
            if parameter["in"] == "query":
                is_number = parameter["schema"].get("type") == "integer"
                for wrong in ("-1", "x") if is_number else ("-1",):
                    values = {other["name"]: "web" for other in operation.parameters if other["in"] == "path"}
                    answer = caller.refuse(operation.name, 400, "query", values, query={parameter["name"]: wrong})
                    assert answer.error["arguments"].items() >= {"field": parameter["name"], "value": wrong}.items(), answer.body


def errors(caller):
    """One form for all that goes wrong, on every route."""
    for operation in caller.document.operations.values():
        path = operation.url({parameter["name"]: "nope" for parameter in operation.parameters}, None)
        needs_token = operation.description.get("security") is None
        for headers in ({}, {"Authorization": "Bearer wrong"}) if needs_token and operation.name == "about" else ({},) if needs_token else ():
            answer = caller.raw(operation.method, path, headers=headers)
            assert (answer.status, answer.error["id"]) == (401, "unauthorized"), answer.body
        if operation.method != "GET":
            assert caller.raw(operation.method, path, "{", None).status in (400, 401, 404), operation.name
        wrong = caller.raw("PUT", path)
        assert (wrong.status, wrong.error["id"]) == (405, "method-not-allowed") and operation.method in wrong.headers["Allow"], wrong.body
        if "{" in operation.path and operation.method == "GET":
            assert caller.raw("GET", path).status == 404, operation.name
    assert caller.raw("GET", "/v1/nothing").status == 404
    assert caller.raw("POST", "/v1/vms", "[]").error["id"] == "json-not-an-object"
    assert caller.raw("POST", "/v1/vms", "x" * (1024 * 1024 + 1)).status == 413
    assert caller.raw("GET", "/v1/about?x=" + "y" * 17000).status == 431
    for _ in range(20):
        answer = caller.raw("GET", "/v1/about", headers={"Authorization": "Bearer wrong"})
    answer = caller.raw("GET", "/v1/about")
    assert (answer.status, answer.error["id"]) == (429, "too-many-attempts") and answer.headers["Retry-After"], answer.body


def main():
    address, ca, token, folder, file = sys.argv[1:]
    caller = Caller(address, ca, token)
    served = caller.raw("GET", "/v1/openapi")
    caller.document = Document(served.body)
    caller.document.check_itself()
    for step in (lambda: hosts(caller, folder), lambda: vms(caller), lambda: datastores(caller), lambda: moves(caller), lambda: tokens_and_events(caller, file), lambda: limits(caller),
                 lambda: errors(caller)):
        step()
    never = set(caller.document.operations) - caller.succeeded
    assert not never, f"operations that this test never calls: {never}"
    print(f"{len(caller.succeeded)} operations are what the document says")


main()
