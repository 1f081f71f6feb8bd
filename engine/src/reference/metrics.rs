//! The counters of a replica in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Upper bounds of the duration's histogram, in seconds.
const BOUNDS: [(f64, &str); 13] = [
    (0.001, "0.001"),
    (0.0025, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1.0"),
    (2.5, "2.5"),
    (5.0, "5.0"),
    (10.0, "10.0"),
];

/// For each peer region: entries behind, and the age of the oldest of them in seconds.
pub type Lag = BTreeMap<String, (u64, f64)>;

/// Requests by status, their durations and those in flight.
#[derive(Default)]
pub struct Metrics {
    pub in_flight: u64,
    statuses: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len() + 1],
    sum_s: f64,
}

impl Metrics {
    pub fn count(&mut self, status: u16, seconds: f64) {
        *self.statuses.entry(status).or_default() += 1;
        self.buckets[BOUNDS.partition_point(|(bound, _)| *bound < seconds)] += 1;
        self.sum_s += seconds;
    }

    pub fn text(&self, service: &str, lag: &Lag) -> String {
        let name = format!("service=\"{service}\"");
        let mut out = String::with_capacity(2048);
        out.push_str("# TYPE http_requests_total counter\n");
        for (status, count) in &self.statuses {
            let _ = writeln!(out, "http_requests_total{{{name},status=\"{status}\"}} {count}");
        }
        out.push_str("# TYPE http_request_duration_seconds histogram\n");
        let mut total = 0;
        let labels = BOUNDS.iter().map(|(_, label)| *label).chain(["+Inf"]);
        for (label, count) in labels.zip(self.buckets) {
            total += count;
            let _ = writeln!(
                out,
                "http_request_duration_seconds_bucket{{{name},le=\"{label}\"}} {total}"
            );
        }
        let sum = self.sum_s;
        let _ = write!(
            out,
            "http_request_duration_seconds_sum{{{name}}} {sum:.6}\n\
             http_request_duration_seconds_count{{{name}}} {total}\n\
             # TYPE http_requests_in_flight gauge\n\
             http_requests_in_flight{{{name}}} {}\n\
             # TYPE replication_backlog_entries gauge\n",
            self.in_flight
        );
        for (peer, (entries, _)) in lag {
            let _ =
                writeln!(out, "replication_backlog_entries{{{name},peer=\"{peer}\"}} {entries}");
        }
        out.push_str("# TYPE replication_lag_seconds gauge\n");
        for (peer, (_, seconds)) in lag {
            let _ = writeln!(out, "replication_lag_seconds{{{name},peer=\"{peer}\"}} {seconds:.3}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_what_took_at_most_its_bound() {
        let mut metrics = Metrics::default();
        for seconds in [0.001, 0.0011, 99.0] {
            metrics.count(200, seconds);
        }
        let lag = Lag::from([("eu-west-1".to_owned(), (3, 0.5))]);
        let text = metrics.text("memorai", &lag);
        for line in [
            "http_requests_total{service=\"memorai\",status=\"200\"} 3",
            "http_request_duration_seconds_bucket{service=\"memorai\",le=\"0.001\"} 1",
            "http_request_duration_seconds_bucket{service=\"memorai\",le=\"0.0025\"} 2",
            "http_request_duration_seconds_bucket{service=\"memorai\",le=\"10.0\"} 2",
            "http_request_duration_seconds_bucket{service=\"memorai\",le=\"+Inf\"} 3",
            "http_request_duration_seconds_sum{service=\"memorai\"} 99.002100",
            "replication_backlog_entries{service=\"memorai\",peer=\"eu-west-1\"} 3",
            "replication_lag_seconds{service=\"memorai\",peer=\"eu-west-1\"} 0.500",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
