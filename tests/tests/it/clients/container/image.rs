//! Images as an OCI layout: several layers, two architectures, one index.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tests::bytes_of::seeded;
use tests::fixture::container::digest;

use crate::clients::machine;

/// What the layers share a folder with: the tag that the layout gives the index.
pub(super) const TAG: &str = "multi";
/// The architectures of the index.
pub(super) const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// A layout below a folder, for `oci:FOLDER:multi`.
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes an image whose layers hold files that `seed` tells from other images.
    pub(super) fn new(root: PathBuf, seed: u64) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).expect("a folder");
        let layout = Self { root };
        // The first layer is the same for both, the others are not.
        let base = layout.layer(
            "base",
            &[("etc/os-release", b"NAME=lab\n".to_vec()), ("bin/tool", seeded(b"", seed, 5_000).to_vec())],
        );
        let manifests: Vec<Value> = PLATFORMS
            .iter()
            .zip(1..)
            .map(|(architecture, number)| {
                let large = seeded(b"", seed * 10 + number, 3_000_000).to_vec();
                let program = layout.layer("program", &[("usr/bin/app", large)]);
                let settings = layout.layer("settings", &[("etc/app/arch", architecture.as_bytes().to_vec())]);
                layout.manifest(architecture, &[&base, &program, &settings])
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

    fn manifest(&self, architecture: &str, layers: &[&Layer]) -> Value {
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/usr/bin/app"]},
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
            fs::write(path, bytes).expect("a file");
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
