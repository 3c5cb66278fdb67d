"""`apt-get update` of a warm cache: CPU of the server for one update, with and without lists at the client."""

import hashlib
import os
import shutil
import statistics
import subprocess
from pathlib import Path

# Rows of the table, and whether the client holds the lists already.
ROWS = {"apt-get update, no lists": False, "apt-get update, unchanged": True}
STANZAS = {"main/binary-amd64/Packages": 40_000, "main/source/Sources": 10_000, "main/i18n/Translation-en": 10_000}


def build(root, keys):
    """A signed archive of one suite, about as large as the main one of a release."""
    suite = root / "debian/dists/stable"
    lines = []
    for name, count in STANZAS.items():
        path = suite / f"{name}.xz"
        path.parent.mkdir(parents=True)
        text = "".join(stanza(name, number) for number in range(count)).encode()
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
    """Nanoseconds of processor time so far, of all threads."""
    tasks = [task for pid in server.processes() for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(task.read_text().split()[0]) for task in tasks)


def measure(servers, work, settle, rounds, updates):
    """Milliseconds of the server's processor for one update, by row and server, a round each."""
    results = {}
    for _ in range(rounds):
        for server in servers:
            client = Client(work / "apt", server.archive, work / "keys/key.gpg")
            client.update(False)
            for row, keep in ROWS.items():
                settle(server)
                before = used(server)
                for _ in range(updates):
                    client.update(keep)
                results.setdefault((row, server.name), []).append((used(server) - before) / updates / 1e6)
    return results


def table(results, servers, rounds, updates):
    lines = [f"{rounds} rounds of {updates} updates:", "", "| update | server | CPU ms/update | CPU to nginx |", "|---|---|--:|--:|"]
    for row in ROWS:
        for server in servers:
            own, yardstick = results[row, server.name], results[row, "nginx"]
            ratio = statistics.median(mine / theirs for mine, theirs in zip(own, yardstick))
            lines.append(f"| {row} | {server.name} | {statistics.median(own):.2f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"
