//! A behaviour carried out: seeded delays, refusals and false answers.

use super::behaviour::Behaviour;
use super::chat::{Asked, Script};
use crate::clock;
use crate::rng::{Rng, purpose};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// The standard normal's 99th percentile: a lognormal has sigma = ln(p99 / median) / Z99.
const Z99: f64 = 2.326_347_874_040_841;
const LATENCY: u64 = purpose("reference latency");
const OUTCOME: u64 = purpose("reference outcome");

/// Draws depend on the seed, the replica and the number of the request: replicas differ, runs
/// repeat.
pub struct Conduct {
    pub behaviour: Behaviour,
    /// Whether any request is delayed.
    pub delays: bool,
    seed: u64,
    sigma: f64,
    delayed: Cell<u64>,
    judged: Cell<u64>,
    streamed: Cell<u64>,
    /// The window of the rate limit, and the requests of each API key in it.
    used: RefCell<(u64, HashMap<String, u64>)>,
}

impl Conduct {
    pub fn new(behaviour: Behaviour, replica: &str) -> Self {
        let median = behaviour.latency_median_s;
        Self {
            seed: purpose(&format!("{} {replica}", behaviour.seed)),
            sigma: behaviour.latency_p99_s.map_or(0.0, |p99| (p99 / median).ln() / Z99),
            delays: median > 0.0 || !behaviour.slow.is_empty() || behaviour.latency_add_s > 0.0,
            behaviour,
            delayed: Cell::new(0),
            judged: Cell::new(0),
            streamed: Cell::new(0),
            used: RefCell::default(),
        }
    }

    /// How long the next request, one of this route, waits for its answer.
    pub fn delay(&self, route: &str) -> Duration {
        let mut draws = Rng::at(self.seed, LATENCY, next(&self.delayed));
        let mut seconds = self.behaviour.latency_median_s;
        if self.sigma > 0.0 {
            seconds *= (self.sigma * draws.normal()).exp();
        }
        if let Some(slow) = self.behaviour.slow.get(route) {
            seconds = seconds * slow.factor + slow.add_s;
        }
        let slowed = self.behaviour.slowed;
        if slowed >= 1.0 || draws.unit() < slowed {
            seconds = seconds * self.behaviour.latency_factor + self.behaviour.latency_add_s;
        }
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// How the next stream, asked for at `began` by a request to this route, goes.
    pub fn script(&self, route: &str, asked: &Asked, began: u64) -> Script {
        let late = if self.delays { self.delay(route) } else { Duration::ZERO };
        let begins = began.saturating_add(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        let number = next(&self.streamed);
        Script::new(&self.behaviour.stream, self.seed, number, asked, begins)
    }

    /// The answer to a request beyond a limit; `in_flight` counts it.
    pub fn refuse(&self, api_key: &str, in_flight: u64) -> Option<(u16, &'static str)> {
        if self.behaviour.concurrency.is_some_and(|limit| in_flight > limit) {
            return Some((503, r#"{"error":"too many requests in progress"}"#));
        }
        let limit = self.behaviour.rate_limit?;
        (api_key != self.behaviour.exempt_key && self.count(api_key) > limit)
            .then_some((429, r#"{"error":"rate limit of this API key"}"#))
    }

    fn window_ns(&self) -> u64 {
        (self.behaviour.rate_window_s * 1e9) as u64
    }

    /// Counts a request of this key; the number of them in this window, of all keys if they share.
    fn count(&self, api_key: &str) -> u64 {
        let window = clock::now_ns() / self.window_ns();
        let (counted, used) = &mut *self.used.borrow_mut();
        if window != *counted {
            *counted = window;
            used.clear();
        }
        let key = if self.behaviour.rate_shared { "" } else { api_key };
        let count = used.entry(key.into()).or_default();
        *count += 1;
        *count
    }

    /// Seconds until the window of the rate limit ends, which an answer of this status names.
    pub fn retry_after(&self, status: u16) -> Option<u64> {
        let left = self.window_ns() - clock::now_ns() % self.window_ns();
        (status == 429 && self.behaviour.retry_after).then_some(left.div_ceil(1_000_000_000))
    }

    /// The error or garbage given in place of the next answer, which is about this item.
    pub fn falsify(&self, id: Option<&str>) -> Option<(u16, &'static str)> {
        if id.is_some() && id == self.behaviour.failing_id.as_deref() {
            return Some((500, r#"{"error":"injected by the failing_id of the behaviour"}"#));
        }
        let (errors, garbage) = (self.behaviour.error_ratio, self.behaviour.garbage_ratio);
        if errors == 0.0 && garbage == 0.0 {
            return None;
        }
        let draw = Rng::at(self.seed, OUTCOME, next(&self.judged)).unit();
        if draw < errors {
            return Some((500, r#"{"error":"injected by the error_ratio of the behaviour"}"#));
        }
        (draw < errors + garbage).then_some((200, "\0garbage"))
    }
}

fn next(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conduct(text: &str, replica: &str) -> Conduct {
        Conduct::new(Behaviour::parse(text.as_bytes()).unwrap(), replica)
    }

    fn seconds(conduct: &Conduct, count: usize) -> Vec<f64> {
        (0..count).map(|_| conduct.delay("/x").as_secs_f64()).collect()
    }

    #[test]
    fn delays_have_the_median_and_the_p99_asked_for() {
        let mut delays =
            seconds(&conduct(r#"{"latency_median_s":0.005,"latency_p99_s":0.03}"#, "r"), 100_000);
        delays.sort_unstable_by(f64::total_cmp);
        assert!((delays[50_000] / 0.005 - 1.0).abs() < 0.02);
        assert!((delays[99_000] / 0.03 - 1.0).abs() < 0.05);
    }

    #[test]
    fn draws_repeat_with_the_seed_and_differ_between_replicas() {
        let text = r#"{"latency_median_s":0.005,"latency_p99_s":0.03}"#;
        let first = seconds(&conduct(text, "r"), 10);
        assert_eq!(first, seconds(&conduct(text, "r"), 10));
        assert_ne!(first, seconds(&conduct(text, "s"), 10));
        let other = r#"{"latency_median_s":0.005,"latency_p99_s":0.03,"seed":2}"#;
        assert_ne!(first, seconds(&conduct(other, "r"), 10));
    }

    #[test]
    fn a_slow_route_is_slower_by_its_factor_and_its_addition_and_then_by_the_faults() {
        let text = r#"{"latency_median_s":0.1,"slow":{"/x":{"factor":2,"add_s":1}},
                       "latency_factor":3,"latency_add_s":0.5}"#;
        let slow = conduct(text, "r");
        assert!((slow.delay("/x").as_secs_f64() - 4.1).abs() < 1e-9);
        assert!((slow.delay("/y").as_secs_f64() - 0.8).abs() < 1e-9);
    }

    #[test]
    fn the_share_asked_for_is_slowed_falsified_or_failed() {
        let text = r#"{"slowed":0.03,"latency_add_s":0.5,"error_ratio":0.2,"garbage_ratio":0.3}"#;
        let partly = conduct(text, "r");
        let slowed = seconds(&partly, 100_000).iter().filter(|s| **s > 0.0).count();
        assert!(slowed.abs_diff(3_000) < 250, "{slowed}");
        let mut counts = [0usize; 2];
        for (status, _) in (0..100_000).filter_map(|_| partly.falsify(None)) {
            counts[usize::from(status == 200)] += 1;
        }
        assert!(counts[0].abs_diff(20_000) < 600 && counts[1].abs_diff(30_000) < 700, "{counts:?}");
    }

    #[test]
    fn limits_count_what_is_in_progress_and_each_key_but_the_exempt_one() {
        let limited = conduct(r#"{"concurrency":2}"#, "r");
        assert!(limited.refuse("", 2).is_none());
        assert_eq!(limited.refuse("", 3).map(|(status, _)| status), Some(503));
        let rated = conduct(r#"{"rate_limit":1,"rate_window_s":3600}"#, "r");
        assert!(rated.refuse("k", 1).is_none());
        assert_eq!(rated.refuse("k", 1).map(|(status, _)| status), Some(429));
        assert!(rated.refuse("other", 1).is_none());
        assert!((0..9).all(|_| rated.refuse("load-test", 1).is_none()));
    }

    #[test]
    fn a_refusal_names_the_rest_of_its_window_unless_it_shall_not() {
        let rated = conduct(r#"{"rate_limit":1,"rate_window_s":10}"#, "r");
        assert!(rated.retry_after(429).is_some_and(|seconds| (1..=10).contains(&seconds)));
        assert_eq!(rated.retry_after(503), None);
        let mute = conduct(r#"{"rate_limit":1,"retry_after":false}"#, "r");
        assert_eq!(mute.retry_after(429), None);
    }

    #[test]
    fn keys_that_share_a_limit_harm_each_other() {
        let shared = r#"{"rate_limit":1,"rate_window_s":3600,"rate_shared":true}"#;
        let shared = conduct(shared, "r");
        assert!(shared.refuse("k", 1).is_none());
        assert!(shared.refuse("other", 1).is_some());
    }

    #[test]
    fn only_the_failing_item_fails() {
        let one = conduct(r#"{"failing_id":"7"}"#, "r");
        assert_eq!(one.falsify(Some("7")).map(|(status, _)| status), Some(500));
        assert!(one.falsify(Some("8")).is_none() && one.falsify(None).is_none());
    }
}
