//! Streamed chat completions as OpenAI's API has them: an event a token, at instants that the
//! behaviour says and the seed draws, so that what a client should measure is known.

use super::behaviour::Stream;
use super::metrics::Metrics;
use crate::rng::{Rng, purpose};
use crate::timers::Timers;
use crate::{clock, hist};
use hdrhistogram::Histogram;
use serde::Deserialize;
use std::cell::RefCell;
use std::rc::Rc;

pub const PATH: &str = "/v1/chat/completions";
pub const TRUTH_PATH: &str = "/__lab/streams";
pub const EVENTS: &str = "text/event-stream";
/// The standard normal's 99th percentile: a lognormal has sigma = ln(p99 / median) / Z99.
const Z99: f64 = 2.326_347_874_040_841;
const STREAM: u64 = purpose("reference stream");

/// What of a request decides the answer; the rest is not read.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    stream: bool,
    #[serde(default, alias = "max_completion_tokens")]
    max_tokens: Option<u64>,
    #[serde(default)]
    stream_options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    include_usage: bool,
}

impl Asked {
    /// What is asked, or why it cannot be answered.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let asked: Self = serde_json::from_slice(body)
            .map_err(|_| r#"{"error":"the body is no chat request"}"#)?;
        if asked.stream {
            Ok(asked)
        } else {
            Err(r#"{"error":"only streams are served: set stream to true"}"#)
        }
    }
}

/// Whether a request's body asks for a stream, at whatever path.
pub fn is_asked_for(body: &[u8]) -> bool {
    const FIELD: &[u8] = br#""stream""#;
    body.windows(FIELD.len()).any(|part| part == FIELD) && Asked::parse(body).is_ok()
}

/// When each token of a stream is due, and where it breaks off.
pub struct Script {
    rng: Rng,
    stream: Stream,
    tokens: u64,
    breaks_at: Option<u64>,
    /// Of the monotonic clock.
    due: u64,
}

impl Script {
    /// Of the `number`th stream, which begins at an instant of the monotonic clock.
    pub fn new(stream: &Stream, seed: u64, number: u64, asked: &Asked, begins: u64) -> Self {
        let mut rng = Rng::at(seed, STREAM, number);
        let tokens = asked.max_tokens.map_or(stream.tokens, |most| most.min(stream.tokens));
        let breaks = rng.unit() < stream.break_ratio;
        let breaks_at = breaks.then(|| 1 + rng.below(tokens.max(1)));
        let first = drawn(stream.ttft_median_s, stream.ttft_p99_s, &mut rng);
        Self { rng, stream: stream.clone(), tokens, breaks_at, due: begins.saturating_add(first) }
    }

    fn next_gap(&mut self) -> u64 {
        drawn(self.stream.gap_median_s, self.stream.gap_p99_s, &mut self.rng)
    }
}

/// Nanoseconds, lognormal where a 99th percentile is given.
fn drawn(median_s: f64, p99_s: Option<f64>, rng: &mut Rng) -> u64 {
    let sigma = p99_s.map_or(0.0, |p99| (p99 / median_s).ln() / Z99);
    let factor = if sigma > 0.0 { (sigma * rng.normal()).exp() } else { 1.0 };
    (median_s * factor * 1e9) as u64
}

/// What was really sent: from the request to the first token, and between two tokens.
pub struct Truth {
    ttft: Histogram<u64>,
    gap: Histogram<u64>,
    streams: u64,
    broken: u64,
    tokens: u64,
}

impl Default for Truth {
    fn default() -> Self {
        Self { ttft: hist::fresh(), gap: hist::fresh(), streams: 0, broken: 0, tokens: 0 }
    }
}

impl Truth {
    /// As JSON, the histograms as slices have them.
    pub fn text(&self) -> String {
        let text = |histogram| hist::encode(histogram).unwrap_or_default();
        serde_json::json!({
            "time_to_first_token": text(&self.ttft),
            "inter_chunk_latency": text(&self.gap),
            "streams": self.streams,
            "broken": self.broken,
            "tokens": self.tokens,
        })
        .to_string()
    }
}

/// What a replica counts of its requests and streams, and the timers of these.
#[derive(Default)]
pub struct Counters {
    pub metrics: RefCell<Metrics>,
    /// Of the streams that were sent.
    pub truth: RefCell<Truth>,
    pub timers: Timers,
}

impl Counters {
    /// Begins a request: when, and how many are in flight with it.
    pub fn begin(&self) -> (u64, u64) {
        let mut metrics = self.metrics.borrow_mut();
        metrics.in_flight += 1;
        (clock::now_ns(), metrics.in_flight)
    }

    pub fn end(&self, status: u16, began: u64) {
        let mut metrics = self.metrics.borrow_mut();
        metrics.in_flight -= 1;
        metrics.count(status, (clock::now_ns() - began) as f64 / 1e9);
    }
}

pub enum Piece {
    More(String),
    Last(String),
    /// The connection is to be cut.
    Cut,
}

/// A stream under way; dropped, it has ended.
pub struct Chat {
    counters: Rc<Counters>,
    script: Script,
    usage: bool,
    began: u64,
    begun: bool,
    sent: u64,
    last: u64,
}

impl Chat {
    pub fn new(counters: Rc<Counters>, script: Script, asked: &Asked, began: u64) -> Self {
        let usage = asked.stream_options.as_ref().is_some_and(|options| options.include_usage);
        Self { counters, script, usage, began, begun: false, sent: 0, last: 0 }
    }

    /// What is sent next, once it is due; nothing follows the last piece or a cut.
    pub async fn next(&mut self) -> Piece {
        if !self.begun {
            self.begun = true;
            return Piece::More(event(r#"{"role":"assistant","content":""}"#, "null"));
        }
        self.counters.timers.until(self.script.due).await;
        let mut truth = self.counters.truth.borrow_mut();
        if self.script.breaks_at == Some(self.sent) {
            truth.broken += 1;
            return Piece::Cut;
        }
        if self.sent == self.script.tokens {
            truth.streams += 1;
            return Piece::Last(self.end());
        }
        // Read before the write: by its end the peer may already have measured.
        let now = clock::now_ns();
        if self.sent == 0 {
            hist::record(&mut truth.ttft, now - self.began);
        } else {
            hist::record(&mut truth.gap, now - self.last);
        }
        truth.tokens += 1;
        drop(truth);
        (self.sent, self.last) = (self.sent + 1, now);
        // Nothing follows the last token but the end, at once.
        if self.sent < self.script.tokens {
            self.script.due += self.script.next_gap();
        }
        Piece::More(event(&format!(r#"{{"content":" w{}"}}"#, self.sent), "null"))
    }

    fn end(&self) -> String {
        let mut text = event("{}", r#""length""#);
        if self.usage {
            let tokens = self.sent;
            text += &format!(
                "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{{\
                 \"prompt_tokens\":10,\"completion_tokens\":{tokens},\"total_tokens\":{}}}}}\n\n",
                tokens + 10,
            );
        }
        text + "data: [DONE]\n\n"
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.counters.end(200, self.began);
    }
}

fn event(delta: &str, reason: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-lab\",\"object\":\"chat.completion.chunk\",\"model\":\"lab\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
    )
}
