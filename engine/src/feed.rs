//! Value feeds: what `{name}` stands for at arrival k, a function of (seed, k, name) only.

use crate::document::{FeedSpec, Scalar};
use crate::error::PlanError;
use crate::rng::{Rng, purpose};
use std::fmt::Write as _;
use std::sync::{PoisonError, RwLock};

/// A feed ready to draw from.
#[derive(Debug)]
pub struct Feed {
    pub name: String,
    purpose: u64,
    seed: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Sequence { start: i64, step: i64, offset: u64 },
    Uniform { low: i64, span: u64 },
    Zipf(Zipf),
    Uuid,
    Choice { values: Vec<String>, cumulative: Vec<f64> },
    Cycle(Vec<String>),
    Given(RwLock<Vec<String>>),
}

impl Feed {
    /// `salt` makes the values that have to be new different in each run.
    pub fn new(name: &str, spec: &FeedSpec, seed: u64, salt: u64) -> Result<Self, PlanError> {
        let at =
            |field: &str, problem: String| PlanError::at(format!("feeds.{name}{field}"), problem);
        let kind = match spec {
            FeedSpec::Sequence { start, step, fixed } => {
                Kind::Sequence { start: *start, step: *step, offset: if *fixed { 0 } else { salt } }
            }
            FeedSpec::Uniform { low, high } if low > high => {
                return Err(at("", format!("low {low} is above high {high}; swap them")));
            }
            FeedSpec::Uniform { low, high } => {
                Kind::Uniform { low: *low, span: high.wrapping_sub(*low).wrapping_add(1) as u64 }
            }
            FeedSpec::Zipf { n, s } => {
                if *n == 0 || *n > 1 << 53 {
                    return Err(at(".n", format!("{n} is not a number of values; give 1 to 2^53")));
                }
                if !(s.is_finite() && *s > 0.0) {
                    return Err(at(".s", format!("{s} is not an exponent; give one above 0")));
                }
                Kind::Zipf(Zipf::new(*n, *s))
            }
            FeedSpec::Uuid { .. } => Kind::Uuid,
            FeedSpec::Choice { values, .. } | FeedSpec::Cycle { values } if values.is_empty() => {
                return Err(at(".values", "empty; give at least one value".into()));
            }
            FeedSpec::Choice { values, weights, order } => {
                let values: Vec<String> = values.iter().map(Scalar::text).collect();
                match (order.as_deref(), weights) {
                    (None | Some("random"), None) => {
                        Kind::Choice { values, cumulative: Vec::new() }
                    }
                    (None | Some("random"), Some(weights)) => {
                        if weights.len() != values.len() {
                            return Err(at(
                                ".weights",
                                format!(
                                    "{} weights for {} values; give one for each",
                                    weights.len(),
                                    values.len(),
                                ),
                            ));
                        }
                        let cumulative =
                            cumulative(weights).map_err(|problem| at(".weights", problem))?;
                        Kind::Choice { values, cumulative }
                    }
                    (Some("sequence"), None) => Kind::Cycle(values),
                    (Some("sequence"), Some(_)) => {
                        return Err(at(
                            ".weights",
                            "a sequence takes no weights; remove them".into(),
                        ));
                    }
                    (Some(other), _) => {
                        return Err(at(
                            ".order",
                            format!("unknown order {other:?}; use \"random\" or \"sequence\""),
                        ));
                    }
                }
            }
            FeedSpec::Cycle { values } => Kind::Cycle(values.iter().map(Scalar::text).collect()),
            FeedSpec::Given {} => Kind::Given(RwLock::default()),
        };
        let seed = match spec {
            FeedSpec::Uuid { fixed: false } => seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            _ => seed,
        };
        Ok(Self { name: name.to_owned(), purpose: purpose(name), seed, kind })
    }

    /// The value of arrival `k`, appended to `out`.
    pub fn write(&self, k: u64, out: &mut String) {
        let mut rng = Rng::at(self.seed, self.purpose, k);
        // Writing to a String cannot fail.
        let _ = match &self.kind {
            Kind::Sequence { start, step, offset } => {
                let k = k.wrapping_add(*offset) as i64;
                write!(out, "{}", start.wrapping_add(step.wrapping_mul(k)))
            }
            Kind::Uniform { low, span } => {
                write!(out, "{}", low.wrapping_add(rng.below(*span) as i64))
            }
            Kind::Zipf(zipf) => write!(out, "{}", zipf.draw(&mut rng)),
            Kind::Uuid => {
                let high = rng.next_u64() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000;
                let low = rng.next_u64() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000;
                write!(
                    out,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    high >> 32,
                    (high >> 16) & 0xFFFF,
                    high & 0xFFFF,
                    low >> 48,
                    low & 0xFFFF_FFFF_FFFF,
                )
            }
            Kind::Choice { values, cumulative } if cumulative.is_empty() => {
                write!(out, "{}", values[rng.below(values.len() as u64) as usize])
            }
            Kind::Choice { values, cumulative } => {
                write!(out, "{}", values[pick(cumulative, rng.unit())])
            }
            Kind::Cycle(values) => {
                write!(out, "{}", values[(k % values.len() as u64) as usize])
            }
            Kind::Given(values) => {
                let values = values.read().unwrap_or_else(PoisonError::into_inner);
                match values.len() as u64 {
                    0 => Ok(()),
                    n => write!(out, "{}", values[(k % n) as usize]),
                }
            }
        };
    }

    /// Replaces the values of a given feed; false for one of another kind.
    pub fn give(&self, new: Vec<String>) -> bool {
        if let Kind::Given(values) = &self.kind {
            *values.write().unwrap_or_else(PoisonError::into_inner) = new;
            return true;
        }
        false
    }

    /// The given values, for feeds that have them listed.
    pub fn values(&self) -> &[String] {
        match &self.kind {
            Kind::Choice { values, .. } | Kind::Cycle(values) => values,
            _ => &[],
        }
    }
}

/// Running sums of weights, scaled to end at 1.
pub fn cumulative(weights: &[f64]) -> Result<Vec<f64>, String> {
    if let Some(bad) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
        return Err(format!("{bad} is not a weight; give a number above 0"));
    }
    let total: f64 = weights.iter().sum();
    if !total.is_finite() {
        return Err("the sum of the weights is not finite; give smaller ones".into());
    }
    let mut sum = 0.0;
    Ok(weights
        .iter()
        .map(|w| {
            sum += w / total;
            sum
        })
        .collect())
}

/// The index of the interval of `cumulative` that holds `unit` (in [0, 1)).
pub fn pick(cumulative: &[f64], unit: f64) -> usize {
    cumulative.partition_point(|edge| *edge <= unit).min(cumulative.len() - 1)
}

/// Zipf's law over 1..=n by rejection-inversion (Hörmann and Derflinger 1996): constant time and
/// no table, whatever n is.
#[derive(Debug)]
struct Zipf {
    n: f64,
    s: f64,
    h_first: f64,
    h_last: f64,
    shortcut: f64,
}

impl Zipf {
    fn new(n: u64, s: f64) -> Self {
        let n = n as f64;
        let mut zipf = Self { n, s, h_first: 0.0, h_last: 0.0, shortcut: 0.0 };
        zipf.h_first = zipf.h_integral(1.5) - 1.0;
        zipf.h_last = zipf.h_integral(n + 0.5);
        zipf.shortcut = 2.0 - zipf.h_inverse(zipf.h_integral(2.5) - zipf.h(2.0));
        zipf
    }

    /// x^-s
    fn h(&self, x: f64) -> f64 {
        (-self.s * x.ln()).exp()
    }

    /// An integral of `h`: (x^(1-s) - 1) / (1 - s), or ln x for s = 1.
    fn h_integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let e = (1.0 - self.s) * log;
        if e.abs() < 1e-8 { log * (1.0 + e / 2.0) } else { e.exp_m1() / e * log }
    }

    fn h_inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.s)).max(-1.0);
        if t.abs() < 1e-8 { (x * (1.0 - t / 2.0)).exp() } else { (t.ln_1p() / t * x).exp() }
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.h_last + rng.unit() * (self.h_first - self.h_last);
            let x = self.h_inverse(u);
            let k = (x + 0.5).floor().clamp(1.0, self.n);
            if k - x <= self.shortcut || u >= self.h_integral(k + 0.5) - self.h(k) {
                return k as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(json: &str) -> Feed {
        salted(json, 0)
    }

    fn salted(json: &str, salt: u64) -> Feed {
        Feed::new("id", &serde_json::from_str(json).unwrap(), 1, salt).unwrap()
    }

    fn value(feed: &Feed, k: u64) -> String {
        let mut out = String::new();
        feed.write(k, &mut out);
        out
    }

    #[test]
    fn zipf_follows_its_law() {
        for s in [0.5, 1.0, 1.1, 2.0] {
            let feed = feed(&format!(r#"{{"kind":"zipf","n":50,"s":{s}}}"#));
            let mut counts = [0.0; 51];
            let draws = 100_000;
            for k in 0..draws {
                counts[value(&feed, k).parse::<usize>().unwrap()] += 1.0;
            }
            let norm: f64 = (1..=50).map(|i| f64::from(i).powf(-s)).sum();
            for i in 1..=50 {
                let p = f64::from(i).powf(-s) / norm;
                let sigma = (p * (1.0 - p) / draws as f64).sqrt();
                let seen = counts[i as usize] / draws as f64;
                assert!((seen - p).abs() < 5.0 * sigma, "s={s} i={i}: {seen} for {p}");
            }
        }
    }

    #[test]
    fn a_uuid_is_a_version_4_uuid() {
        let uuid = value(&feed(r#"{"kind":"uuid"}"#), 5);
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
        assert_ne!(uuid, value(&feed(r#"{"kind":"uuid"}"#), 6));
    }

    #[test]
    fn what_must_be_new_differs_from_run_to_run_unless_it_is_fixed() {
        for json in [r#"{"kind":"uuid""#, r#"{"kind":"sequence""#] {
            let (free, fixed) = (format!("{json}}}"), format!(r#"{json},"fixed":true}}"#));
            assert_ne!(value(&salted(&free, 1000), 5), value(&salted(&free, 2000), 5));
            assert_eq!(value(&salted(&free, 1000), 5), value(&salted(&free, 1000), 5));
            assert_eq!(value(&salted(&fixed, 1000), 5), value(&salted(&fixed, 2000), 5));
        }
        let zipf = r#"{"kind":"zipf","n":1000000,"s":0.5}"#;
        assert_eq!(value(&salted(zipf, 1), 5), value(&salted(zipf, 2), 5));
    }

    #[test]
    fn uniform_covers_its_ends() {
        let feed = feed(r#"{"kind":"uniform","low":-1,"high":1}"#);
        let mut seen: Vec<String> = (0..100).map(|k| value(&feed, k)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["-1", "0", "1"]);
    }

    #[test]
    fn sequences_and_cycles_count_arrivals() {
        assert_eq!(value(&feed(r#"{"kind":"sequence","start":10,"step":-2}"#), 3), "4");
        let cycle = feed(r#"{"kind":"choice","values":["a",2,"c"],"order":"sequence"}"#);
        assert_eq!((0..4).map(|k| value(&cycle, k)).collect::<String>(), "a2ca");
    }

    #[test]
    fn given_values_are_taken_in_turn_until_they_are_replaced() {
        let given = feed(r#"{"kind":"given"}"#);
        assert_eq!(value(&given, 1), "");
        assert!(given.give(vec!["a".into(), "b".into()]));
        assert_eq!((0..3).map(|k| value(&given, k)).collect::<String>(), "aba");
        assert!(given.give(vec!["c".into()]));
        assert_eq!(value(&given, 1), "c");
        assert!(!feed(r#"{"kind":"uuid"}"#).give(vec!["a".into()]));
    }

    #[test]
    fn weights_weigh() {
        let feed = feed(r#"{"kind":"choice","values":["a","b"],"weights":[9,1]}"#);
        let b = (0..10_000).filter(|k| value(&feed, *k) == "b").count();
        assert!((850..1150).contains(&b), "{b}");
    }
}
