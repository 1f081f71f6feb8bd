//! What a request came to.

use crate::answer::Evidence;
use crate::kind::Kind;
use crate::stream::Streamed;
use crate::net::Trouble;

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
    /// Of a stream.
    pub stream: Option<Streamed>,
}

impl ResponseResult {
    /// The same as a broken stream, if it is one and no check said otherwise. `error` is why the
    /// body ended early.
    pub fn broken(self, error: Option<Kind>, complaint: Option<Box<Evidence>>) -> Self {
        if complaint.is_none() || self.error != error {
            return self;
        }
        Self { error: Some(Kind::BrokenStream), evidence: complaint, ..self }
    }

    pub fn failed(error: Kind, now: u64) -> Self {
        Self { error: Some(error), done: now, ..Self::default() }
    }

    /// There was no connection to send it on.
    pub fn unconnected(trouble: &Trouble, now: u64) -> Self {
        let evidence = trouble
            .reason
            .clone()
            .map(|reason| Box::new(Evidence { reason: Some(reason), ..Evidence::default() }));
        Self { evidence, ..Self::failed(trouble.kind, now) }
    }
}
