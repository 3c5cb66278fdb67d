#!/usr/bin/env python3
"""Writes a container image of one layer, without a container engine.

The archive is an OCI image layout that `docker load`, `ctr images import`, `kind load image-archive`, `k3d image import`
and `skopeo copy docker-archive:` read too: it has the index of the one and the manifest.json of the other over the same
blobs. Nothing of the clock, the user or the file system's order goes into it: the same inputs give the same bytes.

  archive.py OUT.tar REFERENCE [options] SOURCE:PATH[:MODE]... @TARGET:PATH...

SOURCE:PATH puts a file into the image, @TARGET:PATH a symbolic link.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def entry(name, kind=tarfile.REGTYPE, mode=0o644, size=0, link=""):
    """A tar header in which only what it is told differs from archive to archive."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, link
    return info


def layer(files, directories):
    """The layer's tar: directories before what is in them, all owned by root."""
    entries = {name: (entry(name, tarfile.DIRTYPE, mode), b"") for name, mode in directories.items()}
    for spec in files:
        source, path, *mode = spec.split(":")
        path = path.strip("/")
        for depth in range(1, path.count("/") + 1):
            parent = path.rsplit("/", depth)[0]
            entries.setdefault(parent, (entry(parent, tarfile.DIRTYPE, 0o755), b""))
        if path in entries:
            raise SystemExit(f"{path} is there twice")
        if source.startswith("@"):
            entries[path] = (entry(path, tarfile.SYMTYPE, 0o777, link=source[1:]), b"")
        else:
            with open(source, "rb") as file:
                data = file.read()
            entries[path] = (entry(path, mode=int(mode[0], 8) if mode else 0o644, size=len(data)), data)
    return pack(entries[name] for name in sorted(entries))


def pack(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def image(reference, layer_tar, config, architecture):
    """The archive's bytes and the digest of the image's manifest."""
    platform_ = {"architecture": architecture, "os": "linux"}
    configuration = encode(
        platform_
        | {
            "config": {key: value for key, value in config.items() if value},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer_tar)]},
            "history": [{"created_by": "images/archive.py"}],
        }
    )

    def described(kind, data):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + digest(data), "size": len(data)}

    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("config.v1+json", configuration),
            "layers": [described("layer.v1.tar", layer_tar)],
            "annotations": config.get("Labels") or {},
        }
    )
    tag = reference.rsplit(":", 1)[1]
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag}
    top = described("manifest.v1+json", manifest) | {"annotations": names, "platform": platform_}
    blobs = {f"blobs/sha256/{digest(data)}": data for data in (configuration, manifest, layer_tar)}
    saved = {
        "Config": f"blobs/sha256/{digest(configuration)}",
        "RepoTags": [reference],
        "Layers": [f"blobs/sha256/{digest(layer_tar)}"],
    }
    members = {
        "oci-layout": encode({"imageLayoutVersion": "1.0.0"}),
        "index.json": encode({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [top]}),
        "manifest.json": encode([saved]),
    } | blobs
    directories = [(entry(name, tarfile.DIRTYPE, 0o755), b"") for name in ("blobs", "blobs/sha256")]
    return pack(directories + [(entry(name, size=len(data)), data) for name, data in members.items()]), digest(manifest)


def write(path, data):
    """Whole or not at all: a reader never sees a part."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("reference", help="name with registry and tag, as docker.io/local/pause:1")
    parser.add_argument("files", nargs="*", metavar="SOURCE:PATH[:MODE]")
    parser.add_argument("--entrypoint", type=json.loads, default=[], metavar="JSON")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--directory", action="append", default=[], metavar="PATH:MODE")
    parser.add_argument("--user", default="")
    parser.add_argument("--workdir", default="")
    parser.add_argument("--architecture", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    options = parser.parse_intermixed_args(arguments)
    if ":" not in options.reference.rsplit("/", 1)[-1]:
        parser.error("the reference has no tag")

    directories = {path.strip("/"): int(mode, 8) for path, mode in (item.rsplit(":", 1) for item in options.directory)}
    config = {
        "Entrypoint": options.entrypoint,
        "Env": options.env,
        "Labels": dict(item.split("=", 1) for item in options.label),
        "User": options.user,
        "WorkingDir": options.workdir,
    }
    data, manifest = image(options.reference, layer(options.files, directories), config, options.architecture)
    write(options.out, data)
    print(f"{options.reference}@sha256:{manifest} {options.out} {len(data)}")


if __name__ == "__main__":
    main(sys.argv[1:])
