//! What a request came to.

use crate::answer::{Answer, Content, Evidence};
use crate::capture::capture;
use crate::check;
use crate::error_kind::ErrorKind;
use crate::kept::FULL;
use crate::net::Trouble;
use crate::request::Request as Template;
use crate::stream::Streamed;

/// How a response came out.
#[derive(Clone, Debug, Default)]
pub struct ResponseResult {
    pub error: Option<ErrorKind>,
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
    /// What a good response gives to the next request of its chain: slots and values.
    pub captured: Vec<(usize, String)>,
    /// Whether the request failed and certainly was not processed (RFC 9113, 8.7).
    pub unprocessed: bool,
}

impl ResponseResult {
    pub fn failed(error: ErrorKind, now: u64) -> Self {
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

    /// The same with its verdict: a response that is complete is judged and gives what its chain
    /// needs; of one that is not, what there is to see is kept. `wrong` says what is wrong with a
    /// stream, if something is.
    pub fn concluded(
        mut self,
        template: &Template,
        values: &[String],
        answer: &Answer,
        (body, limit): (&[u8], u64),
        wrong: Option<(ErrorKind, String)>,
    ) -> Self {
        let ended = self.error;
        let mut reason = None;
        if ended.is_none() {
            let content = Content::new(body, answer.coding, limit);
            self.error = check::judge(&template.checks, self.status, &content, values);
            if self.error.is_none() {
                match capture(&template.captures, answer, &content) {
                    Ok(captured) => self.captured = captured,
                    Err((kind, why)) => (self.error, reason) = (Some(kind), Some(why)),
                }
            }
        }
        if self.error == Some(ErrorKind::Local) {
            reason = Some(FULL.into());
        }
        // A broken stream, if it is one (or none at all) and no check said otherwise.
        if let Some((kind, wrong)) = wrong.filter(|_| self.error == ended) {
            self.error = Some(kind);
            self.evidence = Some(answer.complaint(kind, wrong, body));
        } else if self.error.is_some() && (self.first.is_some() || reason.is_some()) {
            self.evidence = Some(Box::new(Evidence { reason, ..*answer.evidence(body) }));
        }
        self
    }
}
