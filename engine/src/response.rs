//! What a request came to.

use crate::answer::{Answer, Evidence};
use crate::capture::capture;
use crate::check;
use crate::kind::Kind;
use crate::net::Trouble;
use crate::request::Request as Template;
use crate::stream::Streamed;

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
    /// What a good response gives to the next request of its chain: slots and values.
    pub captured: Vec<(usize, String)>,
}

impl ResponseResult {
    /// The same as a broken stream, if it is one (or none at all) and no check said otherwise.
    /// `error` is why the body ended early.
    pub fn broken(self, error: Option<Kind>, wrong: Option<(Kind, Box<Evidence>)>) -> Self {
        match wrong.filter(|_| self.error == error) {
            None => self,
            Some((kind, evidence)) => Self { error: Some(kind), evidence: Some(evidence), ..self },
        }
    }

    pub fn failed(error: Kind, now: u64) -> Self {
        Self { error: Some(error), done: now, ..Self::default() }
    }

    /// Judges a response that is complete, and takes from it what its chain needs.
    pub fn judge(
        &mut self,
        template: &Template,
        answer: &Answer,
        body: &[u8],
        limit: u64,
        values: &[String],
    ) {
        let coded = (body, answer.coding);
        self.error = check::judge(&template.checks, self.status, coded, limit, values);
        let mut reason = None;
        if self.error.is_none() {
            match capture(&template.captures, answer, body, limit) {
                Ok(captured) => self.captured = captured,
                Err(why) => {
                    self.error = Some(Kind::Capture);
                    reason = Some(why);
                }
            }
        }
        if self.error.is_some() {
            let mut evidence = answer.evidence(body);
            evidence.reason = reason;
            self.evidence = Some(evidence);
        }
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
