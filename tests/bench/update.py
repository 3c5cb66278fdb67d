"""`apt-get update` of a warm cache: CPU of the server for one update, with and without lists at the client."""

import hashlib
import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

# Rows of the table, and whether the client holds the lists already.
ROWS = {"apt-get update, no lists": False, "apt-get update, unchanged": True}
FLEET = "the same requests of many at once"
IDLE = "a second without a client"
STANZAS = {"main/binary-amd64/Packages": 40_000, "main/source/Sources": 10_000, "main/i18n/Translation-en": 10_000}


# A package of 100 MB, below the archive.
LARGE = "pool/large/large_1_all.deb"


def build(root, keys, noise):
    """A signed archive of one suite, about as large as the main one of a release, and a large package of it."""
    package = root / "debian" / LARGE
    package.parent.mkdir(parents=True)
    package.write_bytes(b"!<arch>\n" + noise("deb", 100_000_000 - 8))
    large = (f"Package: large\nVersion: 1\nArchitecture: all\nMaintainer: bench\nDescription: large\nFilename: {LARGE}\n"
             f"Size: {package.stat().st_size}\nSHA256: {hashlib.sha256(package.read_bytes()).hexdigest()}\n\n")
    suite = root / "debian/dists/stable"
    lines = []
    for name, count in STANZAS.items():
        path = suite / f"{name}.xz"
        path.parent.mkdir(parents=True)
        first = large if name.endswith("Packages") else ""
        text = (first + "".join(stanza(name, number) for number in range(count))).encode()
        path.write_bytes(subprocess.run(["xz", "-1"], input=text, check=True, capture_output=True).stdout)
        # The list has the plain file too, which archives do not serve.
        for file, data in ((f"{name}.xz", path.read_bytes()), (name, text)):
            digest = hashlib.sha256(data).hexdigest()
            lines.append(f" {digest} {len(data)} {file}\n")
        folder = path.parent / "by-hash/SHA256"
        folder.mkdir(parents=True)
        os.link(path, folder / hashlib.sha256(path.read_bytes()).hexdigest())
    release = ("Suite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\n"
               "Date: Sat, 01 Jan 2022 00:00:00 UTC\nAcquire-By-Hash: yes\nSHA256:\n" + "".join(lines))
    keys.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--quiet", "--homedir", keys]
    subprocess.run([*gpg, "--passphrase", "", "--quick-gen-key", "bench", "rsa2048", "sign", "never"], check=True)
    subprocess.run([*gpg, "--output", keys / "key.gpg", "--export"], check=True)
    subprocess.run([*gpg, "--output", suite / "InRelease", "--clearsign"], input=release.encode(), check=True)
    subprocess.run(["gpgconf", "--homedir", keys, "--kill", "gpg-agent"], check=True)


def stanza(name, number):
    digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
    if name.endswith("Sources"):
        return (f"Package: p{number}\nVersion: 1\nFormat: 1.0\nMaintainer: bench\nDirectory: pool/p{number}\n"
                f"Checksums-Sha256:\n {digest} 1 p{number}_1.dsc\n\n")
    if name.endswith("Translation-en"):
        return f"Package: p{number}\nDescription-md5: {digest[:32]}\nDescription-en: package {digest}\n\n"
    return (f"Package: p{number}\nVersion: 1\nArchitecture: all\nMaintainer: bench\nDescription: package {number}\n"
            f"Filename: pool/p{number}/p{number}_1_all.deb\nSize: {number}\nSHA256: {digest}\n\n")


class Client:
    """apt with nothing but this archive."""

    def __init__(self, root, archive, key):
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        for folder in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "var/lib/dpkg",
                       "var/cache/apt/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        user = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
        (root / "apt.conf").write_text(
            f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nDir::Etc "{root}/etc/apt";\n'
            f'Dir::Bin::Methods "/usr/lib/apt/methods";\nAPT::Sandbox::User "{user}";\nDebug::NoLocking "true";\n')
        lines = (f"{kind} [signed-by={key}] {archive} stable main\n" for kind in ("deb", "deb-src"))
        (root / "etc/apt/sources.list").write_text("".join(lines))

    def update(self, keep):
        lists = self.root / "var/lib/apt/lists"
        if not keep:
            shutil.rmtree(lists, ignore_errors=True)
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self.root / "apt.conf"), "no_proxy": "127.0.0.1"}
        command = ["apt-get", "-q", "update", "--error-on=any"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr


def used(server):
    """Nanoseconds of processor time so far, also of threads that have ended: the clocks of the processes."""
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in server.processes())


def paths(root):
    """What apt asks for without lists, one after the other, below the archive."""
    suite = root / "debian/dists/stable"
    folders = [(suite / name).parent / "by-hash/SHA256" for name in STANZAS]
    files = [suite / "InRelease", *(file for folder in folders for file in folder.iterdir())]
    return [str(file.relative_to(root / "debian")) for file in files]


def fleet(server, script, requests):
    """Milliseconds for one update of many that come at once, from connections that stay open."""
    before = used(server)
    command = ["wrk", "-t1", "-c32", "-d2s", "--timeout", "30s", "-s", script, server.archive]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in text and "Socket errors" not in text, text
    return (used(server) - before) / int(re.search(r"(\d+) requests in", text)[1]) * requests / 1e6


def idle(servers, settle):
    """Nanoseconds of each server's processor in a second without a client: files are watched, clocks are looked at. The
    median of some, since something may be left to do of what came before."""
    for server in servers:
        settle(server)
    rates = [[] for _ in servers]
    for _ in range(10):
        before, began = [used(server) for server in servers], time.monotonic()
        time.sleep(1)
        passed = time.monotonic() - began
        for rate, server, start in zip(rates, servers, before):
            rate.append((used(server) - start) / passed)
    return [statistics.median(rate) for rate in rates]


def alternate(servers, clients, unasked, updates, keep):
    """Milliseconds of each server's processor for each of many updates, by name, without what it does unasked. The
    servers take turns: what else the machine does, and what the last client has left in the processor's caches, is the
    same for all."""
    costs = {server.name: [] for server in servers}
    marks = {}
    for _ in range(updates + 1):
        for server, client, rate in zip(servers, clients, unasked):
            # From one turn to the next: what is left to do once the client has gone belongs to its update.
            now, time_now = used(server), time.monotonic()
            if server.name in marks:
                before, time_before = marks[server.name]
                costs[server.name].append((now - before - rate * (time_now - time_before)) / 1e6)
            marks[server.name] = now, time_now
            client.update(keep)
    return costs


def measure(servers, work, settle, updates, rounds):
    """Milliseconds of the server's processor for one update, by row and server."""
    wanted = paths(work / "registry")
    script = work / "fleet.lua"
    listed = ", ".join(f'"/debian/{path}"' for path in wanted)
    script.write_text(f"local paths, next = {{{listed}}}, 0\n"
                      'request = function() next = next % #paths + 1; return wrk.format("GET", paths[next]) end\n')
    clients = [Client(work / f"apt-{server.name}", server.archive, work / "keys/key.gpg") for server in servers]
    for client in clients:
        client.update(False)
    unasked = idle(servers, settle)
    results = {(IDLE, server.name): [rate / 1e6] for server, rate in zip(servers, unasked)}
    for row, keep in ROWS.items():
        for name, costs in alternate(servers, clients, unasked, updates, keep).items():
            results[row, name] = costs
    for _ in range(rounds):
        for server in servers:
            settle(server)
            results.setdefault((FLEET, server.name), []).append(fleet(server, script, len(wanted)))
    return results


def table(results, servers, updates):
    lines = [f"{updates} updates of each server in turn, medians:", "",
             "| update | server | CPU ms | CPU to nginx |", "|---|---|--:|--:|"]
    for row in [*ROWS, FLEET, IDLE]:
        for server in servers:
            own, yardstick = (statistics.median(results[row, name]) for name in (server.name, "nginx"))
            ratio = "" if row == IDLE else f"{own / yardstick:.2f}"
            lines.append(f"| {row} | {server.name} | {own:.2f} | {ratio} |")
    return "\n".join(lines) + "\n"
