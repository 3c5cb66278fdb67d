//! An object of any kind as the API server sends it: plain JSON, read in one go and without what nothing is decided by.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Members of `metadata` that say only how an object came about. The first is often larger than all the rest.
const PASSED_OVER: [&str; 2] = ["managedFields", "selfLink"];

/// An object of any kind.
#[derive(Clone, Debug)]
pub struct Object {
    /// What a watch needs of it.
    metadata: ObjectMeta,
    members: Map<String, Value>,
}

impl Object {
    /// All of it.
    pub fn into_value(self) -> Value {
        Value::Object(self.members)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = deserializer.deserialize_map(Members { of_metadata: false })?;
        let text = |member: &str| members.get("metadata")?.get(member)?.as_str().map(ToOwned::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, members })
    }
}

/// Reads an object, or its metadata.
struct Members {
    of_metadata: bool,
}

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.of_metadata && PASSED_OVER.contains(&name.as_str()) {
                map.next_value::<IgnoredAny>()?;
            } else if !self.of_metadata && name == "metadata" {
                members.insert(name, map.next_value::<Metadata>()?.0);
            } else {
                members.insert(name, map.next_value()?);
            }
        }
        Ok(members)
    }
}

struct Metadata(Value);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members { of_metadata: true }).map(|members| Self(Value::Object(members)))
    }
}

impl Resource for Object {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.api_version)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_is_read_but_who_wrote_it() {
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}], "managedFields": 1},
            "metadata": {"name": "npm", "namespace": "team", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                         "managedFields": [{"manager": "x"}]},
        });
        let mut expected = object.clone();
        expected["metadata"].as_object_mut().unwrap().remove("managedFields");
        let event = json!({"type": "ADDED", "object": object}).to_string();
        let WatchEvent::Added(read) = serde_json::from_str::<WatchEvent<Object>>(&event).unwrap() else {
            panic!("{event}");
        };
        assert_eq!(
            (read.name_any(), read.namespace(), read.uid()),
            ("npm".into(), Some("team".into()), Some("u".into()))
        );
        assert_eq!(read.resource_version().as_deref(), Some("7"));
        assert_eq!(read.into_value(), expected);
        let list = json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": [object]}).to_string();
        let list: ObjectList<Object> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.items[0].clone().into_value(), expected);
    }
}
