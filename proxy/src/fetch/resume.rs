//! stub until merge
use super::{Ask, Fetch, Reply};
use std::sync::Arc;
/// stub
pub fn resuming(_: Arc<dyn Fetch>, _: Ask, reply: Reply, _: bool) -> Reply {
    reply
}
