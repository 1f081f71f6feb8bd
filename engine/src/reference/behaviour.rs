//! How a replica shall answer: the document that Python's `Behaviour` writes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const HOUR_S: f64 = 3600.0;

/// Every field is specified at `harness.platform.lab.options.Behaviour`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    pub latency_median_s: f64,
    pub latency_p99_s: Option<f64>,
    pub slow: BTreeMap<String, Slowdown>,
    pub slowed: f64,
    pub latency_factor: f64,
    pub latency_add_s: f64,
    pub error_ratio: f64,
    pub failing_id: Option<String>,
    pub garbage_ratio: f64,
    pub concurrency: Option<u64>,
    pub rate_limit: Option<u64>,
    pub rate_window_s: f64,
    pub rate_shared: bool,
    pub retry_after: bool,
    pub exempt_key: String,
    pub ready: bool,
    pub health_delay_s: f64,
    pub cpu_s: f64,
    pub calls: Vec<String>,
    pub stream: Stream,
    pub seed: u64,
}

/// How chat completions are streamed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    pub tokens: u64,
    pub ttft_median_s: f64,
    pub ttft_p99_s: Option<f64>,
    pub gap_median_s: f64,
    pub gap_p99_s: Option<f64>,
    pub break_ratio: f64,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            tokens: 100,
            ttft_median_s: 0.0,
            ttft_p99_s: None,
            gap_median_s: 0.0,
            gap_p99_s: None,
            break_ratio: 0.0,
        }
    }
}

impl Stream {
    fn check(&self) -> Result<(), String> {
        within("stream.tokens", self.tokens as f64, 1.0, 1e6)?;
        within("stream.break_ratio", self.break_ratio, 0.0, 1.0)?;
        for (name, median, p99) in [
            ("ttft", self.ttft_median_s, self.ttft_p99_s),
            ("gap", self.gap_median_s, self.gap_p99_s),
        ] {
            within(&format!("stream.{name}_median_s"), median, 0.0, HOUR_S)?;
            if let Some(p99) = p99 {
                // A lognormal has no median of 0.
                let low = if median == 0.0 { HOUR_S } else { median };
                within(&format!("stream.{name}_p99_s"), p99, low, HOUR_S)?;
            }
        }
        Ok(())
    }
}

/// One route made slower: modelled latency times `factor`, plus `add_s` seconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slowdown {
    pub factor: f64,
    pub add_s: f64,
}

impl Default for Slowdown {
    fn default() -> Self {
        Self { factor: 1.0, add_s: 0.0 }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_median_s: 0.0,
            latency_p99_s: None,
            slow: BTreeMap::new(),
            slowed: 1.0,
            latency_factor: 1.0,
            latency_add_s: 0.0,
            error_ratio: 0.0,
            failing_id: None,
            garbage_ratio: 0.0,
            concurrency: None,
            rate_limit: None,
            rate_window_s: 60.0,
            rate_shared: false,
            retry_after: true,
            exempt_key: "load-test".into(),
            ready: true,
            health_delay_s: 0.0,
            cpu_s: 0.0,
            calls: Vec::new(),
            stream: Stream::default(),
            seed: 1,
        }
    }
}

impl Behaviour {
    /// The behaviour in a JSON object, or what is wrong with which field.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        // A struct would also be read from an array of its fields.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err("behaviour: give a JSON object".into());
        }
        let document = &mut serde_json::Deserializer::from_slice(body);
        let found: Self = serde_path_to_error::deserialize(&mut *document)
            .map_err(|error| format!("behaviour: field {}: {}", error.path(), error.inner()))?;
        document.end().map_err(|error| format!("behaviour: {error}"))?;
        found.check()?;
        Ok(found)
    }

    /// What is out of its range.
    pub fn check(&self) -> Result<(), String> {
        within("latency_median_s", self.latency_median_s, 0.0, HOUR_S)?;
        within("latency_add_s", self.latency_add_s, 0.0, HOUR_S)?;
        within("health_delay_s", self.health_delay_s, 0.0, HOUR_S)?;
        within("cpu_s", self.cpu_s, 0.0, HOUR_S)?;
        within("latency_factor", self.latency_factor, 0.0, 1e6)?;
        within("error_ratio", self.error_ratio, 0.0, 1.0)?;
        within("garbage_ratio", self.garbage_ratio, 0.0, 1.0)?;
        within("slowed", self.slowed, 0.0, 1.0)?;
        within("rate_window_s", self.rate_window_s, 0.1, HOUR_S)?;
        self.stream.check()?;
        if let Some(p99) = self.latency_p99_s {
            within("latency_p99_s", p99, self.latency_median_s, HOUR_S)?;
            if self.latency_median_s == 0.0 {
                return Err("behaviour: latency_p99_s without latency_median_s; give both".into());
            }
        }
        for (name, limit) in [("concurrency", self.concurrency), ("rate_limit", self.rate_limit)] {
            within(name, limit.unwrap_or(1) as f64, 1.0, 1e9)?;
        }
        if let Some(url) = self.calls.iter().find(|url| super::calls::split(url).is_none()) {
            return Err(format!("behaviour: calls has {url:?}; give http://HOST:PORT/PATH"));
        }
        for (path, slow) in &self.slow {
            within(&format!("slow[{path}].factor"), slow.factor, 0.0, 1e6)?;
            within(&format!("slow[{path}].add_s"), slow.add_s, 0.0, HOUR_S)?;
        }
        Ok(())
    }
}

fn within(name: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("behaviour: {name} is {value}; give a number from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_or_unknown_is_refused_by_its_name() {
        for (text, named) in [
            (r#"{"error_ratio": 1.1}"#, "error_ratio"),
            (r#"{"latency_p99_s": 1}"#, "latency_median_s"),
            (r#"{"latency_median_s": 2, "latency_p99_s": 1}"#, "latency_p99_s"),
            (r#"{"slow": {"/x": {"factor": -1}}}"#, "slow[/x].factor"),
            (r#"{"slow": {"/x": {"speed": 1}}}"#, "slow./x"),
            (r#"{"concurrency": 0}"#, "concurrency"),
            (r#"{"rate_window_s": 0}"#, "rate_window_s"),
            (r#"{"calls": ["a:1"]}"#, "calls"),
            (r#"{"stream": {"gap_p99_s": 1}}"#, "stream.gap_p99_s"),
            (r#"{"stream": {"tokens": 0}}"#, "stream.tokens"),
            (r#"{"colour": 1}"#, "colour"),
            ("{} {}", "trailing"),
            ("[]", "object"),
        ] {
            let problem = Behaviour::parse(text.as_bytes()).err().unwrap_or_default();
            assert!(problem.contains(named), "{text}: {problem}");
        }
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let text = r#"{"slow":{"/x":{"factor":2.0}},"concurrency":3,"seed":9}"#;
        let once = serde_json::to_string(&Behaviour::parse(text.as_bytes()).unwrap()).unwrap();
        let twice = serde_json::to_string(&Behaviour::parse(once.as_bytes()).unwrap()).unwrap();
        assert_eq!(once, twice);
        assert!(once.contains(r#""slow":{"/x":{"factor":2.0,"add_s":0.0}}"#), "{once}");
    }
}
