#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""QEMU's own migration between two namespaces, for comparison: the same guest, link and QEMU, driven over QMP.

qemu_migrate.py MODE KERNEL INITRD APPEND MEMORY CPUS SOURCE_NETNS DESTINATION_NETNS DESTINATION_ADDRESS GUEST_TAG
MODE: plain, multifd. QEMU_PROGRAM and QEMU_DATA in the environment: another QEMU and its folder of firmware. Prints one line of JSON: total_ms is from `migrate` with the destination waiting to the guest running there.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time


class Qmp:
    def __init__(self, path):
        deadline = time.monotonic() + 20
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.events = []
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            message = json.loads(self.file.readline())
            if "event" in message:
                self.events.append(message["event"])
            elif "error" in message:
                raise RuntimeError(f"{command}: {message['error']['desc']}")
            else:
                return message["return"]

    def wait_event(self, name):
        while name not in self.events:
            message = json.loads(self.file.readline())
            if "event" in message:
                self.events.append(message["event"])


def start(folder, name, netns, options, extra):
    kernel, initrd, append, memory, cpus = options
    command = ["ip", "netns", "exec", netns, os.environ.get("QEMU_PROGRAM", "qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", cpus,
               "-m", memory, "-object", f"memory-backend-memfd,id=ram,size={memory}M,share=on", "-machine",
               "q35,memory-backend=ram", "-vga", "none", "-display", "none", "-nodefaults", "-kernel", kernel, "-initrd", initrd,
               "-append", append, "-serial", f"file:{folder}/{name}.log", "-qmp", f"unix:{folder}/{name}.qmp,server=on,wait=off", *extra]
    if "QEMU_DATA" in os.environ:
        command += ["-L", os.environ["QEMU_DATA"]]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    return process, Qmp(f"{folder}/{name}.qmp")


def console(folder, name, text, deadline_s):
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        with open(f"{folder}/{name}.log", errors="replace", encoding="utf-8") as file:
            if text in file.read():
                return
        time.sleep(0.1)
    raise RuntimeError(f"the guest did not print {text}")


def migrate(mode, source, destination, address):
    capabilities = [{"capability": "events", "state": True}]
    parameters = {"max-bandwidth": 1 << 40, "downtime-limit": 100}
    if mode == "multifd":
        capabilities.append({"capability": "multifd", "state": True})
        parameters["multifd-channels"] = 2
    for qmp in (source, destination):
        qmp.call("migrate-set-capabilities", capabilities=capabilities)
        qmp.call("migrate-set-parameters", **parameters)
    destination.call("migrate-incoming", uri=f"tcp:{address}:4444")
    started = time.monotonic()
    source.call("migrate", uri=f"tcp:{address}:4444")
    destination.wait_event("RESUME")
    total_ms = (time.monotonic() - started) * 1000
    deadline = time.monotonic() + 10
    while True:
        status = source.call("query-migrate")
        if status["status"] in ("completed", "failed") or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return {"mode": mode, "status": status["status"], "total_ms": round(total_ms, 1), "downtime_ms": status.get("downtime"),
            "bytes": status.get("ram", {}).get("transferred"), "rounds": status.get("ram", {}).get("dirty-sync-count")}


def main():
    mode, *options = sys.argv[1:7]
    source_netns, destination_netns, address, tag = sys.argv[7:11]
    folder = tempfile.mkdtemp(prefix="gw-compare-")
    processes = []
    try:
        process, source = start(folder, "source", source_netns, options, [])
        processes.append(process)
        console(folder, "source", tag, 90)
        process, destination = start(folder, "destination", destination_netns, options, ["-incoming", "defer"])
        processes.append(process)
        print(json.dumps(migrate(mode, source, destination, address)))
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    sys.exit(main())
