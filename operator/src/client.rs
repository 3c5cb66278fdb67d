//! The way to the API server: every request of the operator passes here, at a bounded rate, within a time, and writes
//! only while this process leads.

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};

mod activity;
mod fence;
mod limit;

pub use activity::Activity;
pub use fence::{Fence, FenceLayer};
pub use limit::{Limit, LimitLayer};

/// From a request to the head of its response. A watch's head comes at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the API server is and who we are there: the kubeconfig, else what a pod is given.
pub async fn configuration(watch_timeout: Duration) -> Result<Config, kube::config::InferConfigError> {
    let mut config = Config::infer().await?;
    // The server would be asked 15 times with the worker waiting; a reconcile that fails is tried again anyway.
    config.default_retry = false;
    // Short, since a write that waits for a connection has passed the fence.
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A connection that fell silent is given up a little after the watch on it should have ended.
    config.read_timeout = Some(watch_timeout + Duration::from_secs(5));
    Ok(config)
}

/// From the dial to an established connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A client for everything but the Lease.
pub fn controller(
    config: Config,
    limit: Arc<Limit>,
    fence: Arc<Fence>,
    activity: Arc<Activity>,
) -> Result<Client, kube::Error> {
    let builder = ClientBuilder::try_from(config)?;
    // The fence is innermost: a write that had to wait for its turn is held against the time at which it leaves.
    let builder = builder.with_layer(&FenceLayer::new(fence));
    Ok(builder.with_layer(&LimitLayer::new(limit, activity, HEAD_TIMEOUT)).build())
}

/// A client for the Lease: neither fenced nor delayed by other requests.
pub fn election(config: Config) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.build())
}
