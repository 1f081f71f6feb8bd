//! What is kept of failed requests: a few examples, and the values that they had.

use crate::error_kind::ErrorKind;
use crate::feed::Feed;
use crate::request::{Request, Slot};
use crate::response::ResponseResult;
use crate::slices::SECOND;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Examples of one kind of failure at one endpoint, and of all of them.
const EXAMPLES: u8 = 5;
const MOST_EXAMPLES: usize = 200;
/// Values of one feed that are told apart among failures; the others only count.
const MOST_VALUES: usize = 10_000;
/// The most frequent values of a feed among failures that are reported.
const SHOWN_VALUES: usize = 3;

#[derive(Debug, Default)]
pub struct Failures {
    examples: Mutex<Examples>,
    /// By the index of the feed.
    values: Mutex<BTreeMap<usize, Values>>,
}

/// A few failures to look at, as lines of JSON.
#[derive(Debug, Default)]
struct Examples {
    seen: HashMap<(String, ErrorKind, u16), u8>,
    given: usize,
    lines: Vec<String>,
}

/// The values of failed requests: how many had which.
#[derive(Debug, Default)]
struct Values {
    failed: u64,
    known: HashMap<String, u64>,
}

impl Failures {
    /// Notes a request that failed as `kind`, with what there is to see of it.
    pub fn note(
        &self,
        request: &Request,
        values: &[String],
        kind: ErrorKind,
        ended: &ResponseResult,
    ) {
        self.example(&request.name, kind, ended);
        self.count_values(&request.slots, values);
    }

    /// Keeps the first few failures of each kind.
    fn example(&self, endpoint: &str, kind: ErrorKind, ended: &ResponseResult) {
        let mut examples = crate::lock(&self.examples);
        if examples.given >= MOST_EXAMPLES {
            return;
        }
        let seen = examples.seen.entry((endpoint.to_owned(), kind, ended.status)).or_default();
        if *seen >= EXAMPLES {
            return;
        }
        *seen += 1;
        examples.given += 1;
        let evidence = ended.evidence.as_deref();
        let line = serde_json::json!({
            "endpoint": endpoint,
            "kind": kind.name(),
            "status": Some(ended.status).filter(|status| *status > 0),
            "second": ended.done / SECOND,
            "head": evidence.map(|e| &e.head).filter(|head| !head.is_empty()),
            "location": evidence.and_then(|e| e.location.as_deref()),
            "retry_after_s": evidence.and_then(|e| e.retry_after),
            "message": evidence.and_then(|e| e.reason.as_deref()),
        });
        examples.lines.push(line.to_string());
    }

    /// Counts each feed's value once.
    fn count_values(&self, slots: &[Slot], values: &[String]) {
        let mut kept = crate::lock(&self.values);
        for (i, (slot, value)) in slots.iter().zip(values).enumerate() {
            let Slot::Feed(feed) = slot else { continue };
            if slots[..i].iter().any(|other| matches!(other, Slot::Feed(same) if same == feed)) {
                continue;
            }
            let of = kept.entry(*feed).or_default();
            of.failed += 1;
            if let Some(count) = of.known.get_mut(value) {
                *count += 1;
            } else if of.known.len() < MOST_VALUES {
                of.known.insert(value.clone(), 1);
            }
        }
    }

    /// The examples since the last call, as objects of JSON.
    pub fn take_examples(&self) -> Vec<String> {
        std::mem::take(&mut crate::lock(&self.examples).lines)
    }

    /// The most frequent values of each feed, as objects of JSON.
    pub fn values(&self, feeds: &[Feed]) -> Vec<String> {
        let kept = crate::lock(&self.values);
        let lines = kept.iter().flat_map(|(feed, of)| {
            let mut known: Vec<(&String, &u64)> = of.known.iter().collect();
            known.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            known.truncate(SHOWN_VALUES);
            known.into_iter().map(move |(value, count)| {
                let line = serde_json::json!({
                    "feed": feeds[*feed].name, "value": value, "failed": count, "of": of.failed,
                });
                line.to_string()
            })
        });
        lines.collect()
    }
}
