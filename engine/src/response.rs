//! What a request came to.

use crate::answer::Evidence;
use crate::kind::Kind;

/// How a response came out.
#[derive(Clone, Debug, Default)]
pub struct ResponseResult {
    pub error: Option<Kind>,
    pub status: u16,
    pub bytes_in: u64,
    /// When the head was there, in the caller's clock.
    pub first: Option<u64>,
    /// When the body was complete.
    pub done: u64,
    /// Of a failure that has a response.
    pub evidence: Option<Box<Evidence>>,
}

impl ResponseResult {
    pub fn failed(error: Kind, now: u64) -> Self {
        Self { error: Some(error), done: now, ..Self::default() }
    }
}
