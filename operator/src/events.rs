//! Events: what happened to a proxy, said once when it happens. Status carries what is.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::store::Key;

/// Longest note in bytes (`events.k8s.io/v1`).
const NOTE_LIMIT: usize = 1024;

/// Publishes events in the name of this operator.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look.
    pub warning: bool,
    /// One word for programs.
    pub reason: String,
    /// What was done or tried.
    pub action: String,
    /// A sentence for people.
    pub note: String,
}

impl Events {
    /// In the name of this instance.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Publishes an event about a proxy. One that cannot be published is logged: it must not stop the work.
    pub async fn publish(&self, proxy: &Key, uid: &str, note: Note) {
        let now = k8s_openapi::jiff::Timestamp::now();
        let mut text = note.note;
        if text.len() > NOTE_LIMIT {
            text.truncate(text.floor_char_boundary(NOTE_LIMIT - 3));
            text.push_str("...");
        }
        tracing::info!(proxy = %proxy, reason = note.reason, note = text, "event");
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}{:04x}", proxy.name, now.as_microsecond(), fastrand::u16(..))),
                namespace: Some(proxy.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some("packageproxy.dev/operator".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(crds::API_VERSION.to_owned()),
                kind: Some(crds::KIND.to_owned()),
                name: Some(proxy.name.clone()),
                namespace: Some(proxy.namespace.clone()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            }),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(note.reason),
            action: Some(note.action),
            note: Some(text),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &proxy.namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(proxy = %proxy, error = %crate::watches::chain(&error), "an event was not published");
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Events").field("instance", &self.instance).finish_non_exhaustive()
    }
}
