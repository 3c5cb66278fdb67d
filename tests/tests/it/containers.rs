//! Container registries: what the distribution protocol asks of a proxy beside the conformance suite.

use serde_json::Value;
use tests::fixture::container::{digest, manifest};
use tests::fixture::{BASE, CONTAINER};
use tests::{Manifest, Resource, Rig, Upstream};

mod lists;
mod manifests;
mod repositories;
mod routes;
mod tokens;

/// A registry, and the program in front of it with this change to its manifest.
async fn serve(tune: impl FnOnce(Manifest) -> Manifest) -> (Upstream, Rig) {
    let upstream = Upstream::start().await;
    let rig = Rig::serve([tune(Manifest::of(&CONTAINER, &upstream))]).await;
    (upstream, rig)
}

/// Path of an address of the registry on the upstream.
fn at(path: &str) -> String {
    format!("{BASE}v2/{path}")
}

/// Puts a document on the upstream under a tag and under its digest, which is returned.
fn tag(upstream: &Upstream, name: &str, tag: &str, document: &Value) -> String {
    let resource = manifest(document);
    let digest = digest(resource.body());
    upstream.set(&at(&format!("{name}/manifests/{tag}")), resource.clone());
    upstream.set(&at(&format!("{name}/manifests/{digest}")), resource);
    digest
}

/// Puts a blob on the upstream for one repository. Returns its path there, below `v2/`.
fn blob(upstream: &Upstream, name: &str, bytes: &[u8]) -> String {
    let path = format!("{name}/blobs/{}", digest(bytes));
    upstream.set(&at(&path), Resource::file(bytes.to_vec()));
    path
}
