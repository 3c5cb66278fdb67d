#!/usr/bin/env python3
"""Tests of archive.py. usage: archive_test.py"""

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True  # no __pycache__ beside the sources
import archive  # noqa: E402


class Archive(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.program = self.path("program")
        with open(self.program, "wb") as file:
            file.write(b"\x7fELF")

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def write(self, *more, out="out.tar"):
        out = self.path(out)
        files = [f"{self.program}:bin/program:755", "@usr/lib:lib", *more]
        options = ["--entrypoint", '["/bin/program"]', "--user", "65532:65532", "--env", "A=b", "--label", "c=d", "--directory", "tmp:1777"]
        with unittest.mock.patch("sys.stdout", new=io.StringIO()):
            archive.main([out, "registry.example/local/program:1", *options, *files])
        with open(out, "rb") as file:
            return file.read()

    def members(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {item.name: (item, tar.extractfile(item).read() if item.isfile() else None) for item in tar.getmembers()}

    def test_same_inputs_same_bytes(self):
        first = self.write()
        os.utime(self.program, (1, 1))
        os.chmod(self.program, 0o600)
        self.assertEqual(first, self.write(out="again.tar"))

    def test_other_inputs_other_bytes(self):
        first = self.write()
        with open(self.program, "ab") as file:
            file.write(b"2")
        self.assertNotEqual(first, self.write())

    def test_nothing_of_this_machine(self):
        data = self.write()
        layer = self.layer(self.members(data))
        for item in list(self.members(data).values()) + list(self.members(layer).values()):
            item = item[0]
            self.assertEqual((item.mtime, item.uid, item.gid, item.uname, item.gname), (0, 0, 0, "", ""), item.name)

    def layer(self, members):
        saved = json.loads(members["manifest.json"][1])
        return members[saved[0]["Layers"][0]][1]

    def test_layer(self):
        members = self.members(self.layer(self.members(self.write())))
        self.assertEqual(list(members), ["bin", "bin/program", "lib", "tmp"])
        self.assertEqual(members["bin/program"][0].mode, 0o755)
        self.assertEqual(members["tmp"][0].mode, 0o1777)
        self.assertEqual(members["lib"][0].linkname, "usr/lib")

    def test_every_blob_is_named_by_its_digest_and_both_indexes_agree(self):
        members = self.members(self.write())
        for name, (_, data) in members.items():
            if name.startswith("blobs/sha256/"):
                self.assertEqual(name, "blobs/sha256/" + hashlib.sha256(data).hexdigest())

        def blob(descriptor):
            data = members["blobs/" + descriptor["digest"].replace(":", "/")][1]
            self.assertEqual(len(data), descriptor["size"])
            return data

        index = json.loads(members["index.json"][1])["manifests"][0]
        self.assertEqual(index["annotations"]["io.containerd.image.name"], "registry.example/local/program:1")
        manifest = json.loads(blob(index))
        configuration = json.loads(blob(manifest["config"]))
        saved = json.loads(members["manifest.json"][1])[0]
        self.assertEqual(saved["Config"], "blobs/" + manifest["config"]["digest"].replace(":", "/"))
        self.assertEqual(saved["RepoTags"], ["registry.example/local/program:1"])
        self.assertEqual(configuration["rootfs"]["diff_ids"], [layer["digest"] for layer in manifest["layers"]])
        self.assertEqual(blob(manifest["layers"][0]), self.layer(members))
        self.assertEqual(configuration["config"]["User"], "65532:65532")
        self.assertEqual(configuration["config"]["Entrypoint"], ["/bin/program"])
        self.assertEqual(configuration["config"]["Env"], ["A=b"])
        self.assertEqual(configuration["config"]["Labels"], {"c": "d"})

    def test_a_path_twice(self):
        with self.assertRaisesRegex(SystemExit, "bin/program is there twice"):
            self.write(f"{self.program}:bin/program")

    def test_no_tag(self):
        with unittest.mock.patch("sys.stderr", new=io.StringIO()), self.assertRaises(SystemExit):
            archive.main([self.path("x.tar"), "registry.example:5000/program"])


if __name__ == "__main__":
    unittest.main()
