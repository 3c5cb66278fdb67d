//! stub
#[derive(Debug)]
pub struct Refusal {
    pub reason: String,
    pub message: String,
}
#[derive(Debug)]
pub enum ApplyOutcome {
    Applied,
    NotYet,
    Failed { reason: String, message: String },
    RolloutPending { message: String },
}
