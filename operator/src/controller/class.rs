//! Which class a proxy takes.

use std::sync::Arc;

use crds::class::{DEFAULT_CLASS_ANNOTATION, PackageProxyClassSpec};
use serde_json::Value;

use super::conditions::Refusal;
use crate::store::{Key, Store};

/// The class of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its name; `None`: the operator's own.
    pub name: Option<String>,
    /// What it says.
    pub spec: Arc<PackageProxyClassSpec>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// The class that the manifest names does not exist.
    #[error("the PackageProxyClass '{0}' of `spec.className` does not exist; create it, or name another one")]
    Missing(String),
    /// The class that was taken as the default is gone.
    #[error(
        "the PackageProxyClass '{0}', which this proxy took as the default, does not exist any more; create it again, \
         or name one in `spec.className`"
    )]
    DefaultGone(String),
    /// The class cannot be used.
    #[error("the PackageProxyClass '{name}' cannot be used: {problem}")]
    Invalid {
        /// Its name.
        name: String,
        /// The first mistake.
        problem: String,
    },
    /// Classes are switched off.
    #[error("`spec.className` names '{0}', but this operator uses no PackageProxyClass objects; leave it out")]
    Disabled(String),
}

/// The class that a manifest names; else the newest that is marked as default, ties by name; else the built-in one.
pub fn choose(
    proxy: &Value,
    classes: Option<&Store>,
    built_in: &Arc<PackageProxyClassSpec>,
) -> Result<Chosen, ClassError> {
    let named = proxy["spec"]["className"].as_str();
    let Some(classes) = classes else {
        return match named {
            Some(name) => Err(ClassError::Disabled(name.to_owned())),
            None => Ok(Chosen { name: None, spec: Arc::clone(built_in) }),
        };
    };
    if let Some(name) = named {
        let class = classes.own(&Key::new("", name)).ok_or_else(|| ClassError::Missing(name.to_owned()))?;
        return used(&class);
    }
    // Once the manifest is edited, the choice is made anew.
    let is_unedited = proxy["status"]["observedGeneration"] == proxy["metadata"]["generation"];
    let recorded = proxy["status"]["className"].as_str().filter(|_| is_unedited);
    if let Some(name) = recorded
        && classes.own(&Key::new("", name)).is_none()
    {
        return Err(ClassError::DefaultGone(name.to_owned()));
    }
    match default_of(classes) {
        Some(class) => used(&class),
        None => Ok(Chosen { name: None, spec: Arc::clone(built_in) }),
    }
}

/// The newest class that is marked as default.
fn default_of(classes: &Store) -> Option<Arc<Value>> {
    let marked = classes.all().into_iter().filter(|class| is_default(class));
    marked.max_by(|one, other| {
        let created = |class: &Value| class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        let name = |class: &Value| class["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        created(one).cmp(&created(other)).then_with(|| name(other).cmp(&name(one)))
    })
}

fn is_default(class: &Value) -> bool {
    class["metadata"]["annotations"][DEFAULT_CLASS_ANNOTATION] == "true"
}

fn used(class: &Value) -> Result<Chosen, ClassError> {
    let name = class["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match read(class) {
        Ok(spec) => Ok(Chosen { name: Some(name), spec: Arc::new(spec) }),
        Err(problem) => Err(ClassError::Invalid { name, problem }),
    }
}

/// What a class object says, or everything that is wrong with it.
pub fn read(class: &Value) -> Result<PackageProxyClassSpec, String> {
    let reading = crds::class::read(class);
    reading.class.map(|class| class.spec).ok_or_else(|| Refusal::of(&reading.problems).message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Kind;

    fn class(name: &str, created: &str, default: &str) -> Value {
        json!({
            "apiVersion": crds::API_VERSION, "kind": crds::CLASS_KIND,
            "metadata": {"name": name, "creationTimestamp": created, "annotations": {DEFAULT_CLASS_ANNOTATION: default}},
            "spec": {"image": name},
        })
    }

    fn proxy(named: Option<&str>, recorded: Option<&str>) -> Value {
        json!({"metadata": {"generation": 1}, "spec": {"className": named},
               "status": {"className": recorded, "observedGeneration": 1}})
    }

    #[test]
    fn the_choice() {
        let built_in = Arc::new(PackageProxyClassSpec::default());
        let classes = Store::new(Kind::Class);
        let chosen = |named, recorded, classes: Option<&Store>| {
            choose(&proxy(named, recorded), classes, &built_in).map(|chosen| chosen.name)
        };
        assert_eq!(chosen(None, None, Some(&classes)), Ok(None));
        classes.apply(class("plain", "2026-01-03T00:00:00Z", "false"));
        assert_eq!(chosen(None, None, Some(&classes)), Ok(None));
        classes.apply(class("old", "2026-01-01T00:00:00Z", "true"));
        classes.apply(class("new-b", "2026-01-02T00:00:00Z", "true"));
        classes.apply(class("new-a", "2026-01-02T00:00:00Z", "true"));
        assert_eq!(chosen(None, None, Some(&classes)), Ok(Some("new-a".to_owned())));
        assert_eq!(chosen(Some("plain"), None, Some(&classes)), Ok(Some("plain".to_owned())));
        assert_eq!(chosen(Some("no"), None, Some(&classes)), Err(ClassError::Missing("no".to_owned())));
        assert_eq!(chosen(None, Some("gone"), Some(&classes)), Err(ClassError::DefaultGone("gone".to_owned())));
        let mut edited = proxy(None, Some("gone"));
        edited["metadata"]["generation"] = json!(2);
        let after = choose(&edited, Some(&classes), &built_in).map(|chosen| chosen.name);
        assert_eq!(after, Ok(Some("new-a".to_owned())));
        assert_eq!(chosen(None, None, None), Ok(None));
        assert_eq!(chosen(Some("old"), None, None), Err(ClassError::Disabled("old".to_owned())));
        let mut bad = class("bad", "2026-01-01T00:00:00Z", "false");
        bad["spec"]["image"] = json!(7);
        classes.apply(bad);
        assert!(matches!(chosen(Some("bad"), None, Some(&classes)), Err(ClassError::Invalid { .. })));
    }
}
