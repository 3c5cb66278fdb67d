//! Images as an OCI layout: several layers, two architectures, one index.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tests::bytes_of::seeded;
use tests::fixture::container::digest;

use crate::clients::machine;

/// What the layers share a folder with: the tag that the layout gives the index.
pub(crate) const TAG: &str = "multi";
/// The architectures of the index.
pub(super) const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// A layout below a folder, for `oci:FOLDER:multi`.
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes an image whose layers hold files that `seed` tells from other images.
    pub(super) fn new(root: PathBuf, seed: u64) -> Self {
        Self::with(root, seed, &[], &["/usr/bin/app"])
    }

    /// The same with further files in the first layer, and what is run of them. Both architectures get the same files:
    /// whoever runs the image has that of the machine.
    pub(crate) fn with(root: PathBuf, seed: u64, files: &[(&str, Vec<u8>)], command: &[&str]) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).expect("a folder");
        let layout = Self { root };
        // The first layer is the same for both, the others are not.
        let mut common =
            vec![("etc/os-release", b"NAME=lab\n".to_vec()), ("bin/tool", seeded(b"", seed, 5_000).to_vec())];
        common.extend(files.iter().cloned());
        let base = layout.layer("base", &common);
        let manifests: Vec<Value> = PLATFORMS
            .iter()
            .zip(1..)
            .map(|(architecture, number)| {
                let large = seeded(b"", seed * 10 + number, 3_000_000).to_vec();
                let program = layout.layer("program", &[("usr/bin/app", large)]);
                // No two images share a layer, or a node that has the one would not pull all of the other.
                let text = format!("{architecture} of {seed}\n");
                let settings = layout.layer("settings", &[("etc/app/arch", text.into_bytes())]);
                layout.manifest(architecture, command, &[&base, &program, &settings])
            })
            .collect();
        let index =
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests});
        let mut listed = layout.blob(index.to_string().as_bytes(), "application/vnd.oci.image.index.v1+json");
        listed["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
        layout.write("index.json", &json!({"schemaVersion": 2, "manifests": [listed]}));
        layout.write("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
        layout
    }

    /// What skopeo calls it.
    pub(super) fn reference(&self) -> String {
        format!("oci:{}:{TAG}", self.root.display())
    }

    /// The digest of the index, which the tag names.
    pub(crate) fn index(&self) -> String {
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a file of the layout")).expect("JSON")
        };
        read(&self.root.join("index.json"))["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
    }

    /// What a client of one architecture pulls: the digests of index and manifest, then those of configuration and layers.
    pub(crate) fn parts(&self, architecture: &str) -> ([String; 2], Vec<String>) {
        let read = |digest: &str| -> Value {
            let path = self.root.join("blobs").join(digest.replace(':', "/"));
            serde_json::from_slice(&fs::read(path).expect("a blob")).expect("JSON")
        };
        let text = |value: &Value| value["digest"].as_str().expect("a digest").to_owned();
        let index = self.index();
        let listed = read(&index)["manifests"].as_array().expect("manifests").clone();
        let own = listed.iter().find(|listed| listed["platform"]["architecture"] == architecture);
        let manifest = text(own.expect("an architecture of the index"));
        let read = read(&manifest);
        let layers = read["layers"].as_array().expect("layers");
        let blobs = [&read["config"]].into_iter().chain(layers).map(text).collect();
        ([index, manifest], blobs)
    }

    fn manifest(&self, architecture: &str, command: &[&str], layers: &[&Layer]) -> Value {
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer.content).collect::<Vec<_>>()},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json"),
            "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
        });
        let mut listed = self.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
        listed["platform"] = json!({"architecture": architecture, "os": "linux"});
        listed
    }

    fn layer(&self, name: &str, files: &[(&str, Vec<u8>)]) -> Layer {
        let folder = self.root.join("work").join(name);
        for (path, bytes) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
            fs::write(&path, bytes).expect("a file");
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a file of this program");
        }
        let archive = self.root.join("work.tar");
        let mut tar = Command::new("tar");
        machine::run(
            tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-cf"])
                .arg(&archive)
                .arg("-C")
                .arg(&folder)
                .arg("."),
        );
        let bytes = fs::read(&archive).expect("an archive");
        fs::remove_dir_all(folder).expect("a folder");
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&bytes).expect("memory");
        let packed = packed.finish().expect("memory");
        Layer { descriptor: self.blob(&packed, "application/vnd.oci.image.layer.v1.tar+gzip"), content: digest(&bytes) }
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&self, bytes: &[u8], kind: &str) -> Value {
        let digest = digest(bytes);
        fs::write(self.root.join("blobs").join(digest.replace(':', "/")), bytes).expect("a blob");
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    fn write(&self, name: &str, document: &Value) {
        fs::write(self.root.join(name), document.to_string()).expect("a file");
    }
}

struct Layer {
    descriptor: Value,
    /// Digest of the archive before it is packed.
    content: String,
}

/// A file of this many bytes, and its digest.
pub(super) fn large(path: &Path, bytes: usize) -> String {
    let piece = seeded(b"", 77, 1 << 20);
    let mut file = File::create(path).expect("a file");
    for number in 0..bytes >> 20 {
        file.write_all(&(number as u64).to_le_bytes()).and_then(|()| file.write_all(&piece[8..])).expect("a disk");
    }
    let printed = machine::run(Command::new("sha256sum").arg(path));
    format!("sha256:{}", printed.split(' ').next().expect("a digest"))
}
