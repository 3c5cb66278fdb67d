//! `render`: the objects that the operator would apply for the manifests of a file, without a cluster. What a cluster
//! knows and a file does not (uids, claims that grew) is left out.

use std::collections::BTreeMap;

use crds::class::DEFAULT_CLASS_ANNOTATION;
use crds::{CLASS_KIND, KIND, PackageProxyClassSpec, Problem};
use serde_json::{Value, json};

use crate::controller::build::{OWNER_LABEL, build};
use crate::controller::plan::{Plan, Site};
use crate::controller::resolve::{self, DEFAULT_NAMESPACE};

/// The uid of an owner that no API server has seen.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// The objects of every `PackageProxy` in `documents`, as YAML, or everything that is wrong, one sentence each. A
/// `PackageProxyClass`, a Namespace with an owner's label and a `ConfigMap` with a certificate authority are looked up
/// among the documents too; everything else in them is passed over.
pub fn render(documents: &str, site: &Site) -> Result<String, Vec<String>> {
    let documents: Vec<Value> =
        serde_yaml::from_multiple(documents).map_err(|error| vec![format!("not valid YAML: {error}")])?;
    let (classes, mut problems) = classes(&documents);
    let mut text = String::new();
    let mut found = false;
    for document in of_kind(&documents, KIND) {
        found = true;
        match plan(document, &classes, &documents, site) {
            Ok(plan) => append(&mut text, &plan, &mut problems),
            Err(more) => problems.extend(more.iter().map(|problem| sentence(document, problem))),
        }
    }
    if !found {
        problems.push(format!("there is no {KIND} to render"));
    }
    if problems.is_empty() { Ok(text) } else { Err(problems) }
}

/// The classes of the documents by name, and what is wrong with them.
fn classes(documents: &[Value]) -> (BTreeMap<String, Class>, Vec<String>) {
    let (mut classes, mut problems) = (BTreeMap::new(), Vec::new());
    for document in of_kind(documents, CLASS_KIND) {
        let reading = crds::class::read(document);
        problems.extend(reading.problems.iter().map(|problem| sentence(document, problem)));
        if let Some(class) = reading.class {
            let annotation = &document["metadata"]["annotations"][DEFAULT_CLASS_ANNOTATION];
            classes.insert(class.metadata.name, Class { spec: class.spec, is_default: annotation == "true" });
        }
    }
    (classes, problems)
}

struct Class {
    spec: PackageProxyClassSpec,
    is_default: bool,
}

fn plan(
    document: &Value,
    classes: &BTreeMap<String, Class>,
    documents: &[Value],
    site: &Site,
) -> Result<Plan, Vec<Problem>> {
    // Who renders a file wants to know of a misspelt field, which a cluster would drop.
    let reading = crds::read(document).problems.into_iter();
    let unknown: Vec<Problem> = reading.filter(|problem| !problem.is_fatal()).collect();
    let built_in = PackageProxyClassSpec::default();
    let class = match document["spec"]["className"].as_str() {
        Some(name) => &classes.get(name).ok_or_else(|| vec![no_class(name)])?.spec,
        None => classes.values().find(|class| class.is_default).map_or(&built_in, |class| &class.spec),
    };
    let mut document = document.clone();
    document["metadata"]["uid"] = json!(NO_UID);
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
    let owner = of_kind(documents, "Namespace").find(|object| object["metadata"]["name"] == namespace);
    let owner = owner.and_then(|object| object["metadata"]["labels"][OWNER_LABEL].as_str());
    let plan = match resolve::plan(&document, class, owner, site) {
        Ok(plan) if unknown.is_empty() => plan,
        Ok(_) => return Err(unknown),
        Err(problems) => return Err([problems, unknown].concat()),
    };
    let ca = authority(&plan, documents);
    Ok(Plan { ca, ..plan })
}

fn no_class(name: &str) -> Problem {
    let message = format!("there is no {CLASS_KIND} '{name}' among the documents");
    Problem::invalid("spec.className", message, "name a file that holds it too")
}

/// The certificate authority for clients, if its `ConfigMap` is among the documents.
fn authority(plan: &Plan, documents: &[Value]) -> Option<String> {
    let reference = plan.workload.tls.as_ref()?.ca.as_ref()?;
    let map = of_kind(documents, "ConfigMap").find(|map| {
        let namespace = map["metadata"]["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
        map["metadata"]["name"] == reference.name.as_str() && namespace == plan.namespace
    })?;
    map["data"][&reference.key].as_str().map(ToOwned::to_owned)
}

fn of_kind<'a>(documents: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    documents.iter().filter(move |document| document["kind"] == kind)
}

fn append(text: &mut String, plan: &Plan, problems: &mut Vec<String>) {
    for child in build(plan) {
        match serde_yaml::to_string(&child.object) {
            Ok(object) => {
                text.push_str("---\n");
                text.push_str(object.trim_end());
                text.push('\n');
            }
            Err(error) => problems.push(format!("{} '{}': {error}", child.kind.kind(), child.name)),
        }
    }
}

fn sentence(document: &Value, problem: &Problem) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = format!("{} '{}'", text(&document["kind"]), text(&document["metadata"]["name"]));
    let Problem { path, message, remedy, .. } = problem;
    if path.is_empty() {
        format!("{object}: {message}; {remedy}")
    } else {
        format!("{object}: {path}: {message}; {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::build::testing::site;

    const PROXY: &str = "
apiVersion: packageproxy.dev/v1alpha1
kind: PackageProxy
metadata: {name: left, namespace: team-a}
spec:
  ecosystem: npm
  upstream: {url: 'https://registry.example/'}
";
    const CLASS: &str = "
apiVersion: packageproxy.dev/v1alpha1
kind: PackageProxyClass
metadata:
  name: fast
  annotations: {packageproxy.dev/is-default-class: 'true'}
spec:
  image: registry.example/fast:1
  limits: {maxReplicas: 2}
";

    fn objects(text: &str) -> Vec<Value> {
        serde_yaml::from_multiple(&render(text, &site()).unwrap()).unwrap()
    }

    #[test]
    fn the_text_is_what_would_be_applied() {
        let plan =
            resolve::plan(&serde_yaml::from_str(PROXY).unwrap(), &PackageProxyClassSpec::default(), None, &site());
        let plan = Plan { uid: NO_UID.to_owned(), ..plan.unwrap() };
        let expected: Vec<Value> = build(&plan).into_iter().map(|child| child.object).collect();
        assert_eq!(objects(PROXY), expected);
    }

    #[test]
    fn a_class_is_taken_by_name_or_because_it_is_the_default() {
        let named = PROXY.replace("spec:", "spec:\n  className: fast");
        for proxy in [PROXY, &named] {
            let objects = objects(&format!("{proxy}---{CLASS}"));
            let image = &objects.last().unwrap()["spec"]["template"]["spec"]["containers"][0]["image"];
            assert_eq!(image, "registry.example/fast:1");
        }
    }

    #[test]
    fn authority_and_owner_are_found_beside_the_proxy() {
        let proxy = PROXY.replace(
            "spec:",
            "spec:\n  owner: everyone\n  tls: {secretRef: {name: cert}, caConfigMapRef: {name: ca, key: ca.crt}}",
        );
        let map = "{kind: ConfigMap, metadata: {name: ca, namespace: team-a}, data: {ca.crt: PEM}}";
        let namespace = "{kind: Namespace, metadata: {name: team-a, labels: {packageproxy.dev/owner: everyone}}}";
        let objects = objects(&format!("{proxy}---\n{map}\n---\n{namespace}\n"));
        let client = objects.iter().find(|object| object["metadata"]["name"] == "left-client").unwrap();
        assert_eq!(client["data"]["ca.crt"], "PEM");
        assert_eq!(client["metadata"]["labels"]["packageproxy.dev/owner"], "everyone");
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let second = |spec: &str| PROXY.replace("left", "right").replace("spec:", &format!("spec:\n  {spec}"));
        for (text, parts) in [
            ("a: [".to_owned(), vec!["not valid YAML"]),
            ("kind: Secret".to_owned(), vec!["no PackageProxy"]),
            (second("className: slow"), vec!["'right': spec.className: there is no PackageProxyClass 'slow'"]),
            (second("replicaz: 1"), vec!["spec.replicaz: unknown field"]),
            (
                format!("{}---{}---{CLASS}", second("replicas: 3"), second("externalURL: nowhere")),
                vec!["'right': spec.replicas", "'right': spec.externalURL"],
            ),
            (
                format!("{PROXY}---{}", CLASS.replace("maxReplicas", "maxReplicaz")),
                vec!["'fast': spec.limits.maxReplicaz"],
            ),
        ] {
            let problems = render(&text, &site()).unwrap_err();
            assert_eq!(problems.len(), parts.len(), "{problems:?}");
            for (problem, part) in problems.iter().zip(parts) {
                assert!(problem.contains(part), "{problem}");
            }
        }
    }
}
