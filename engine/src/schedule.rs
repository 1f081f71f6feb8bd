//! When requests become due: a lazy, seeded sequence of instants.

use crate::document::{Arrivals, Segment, Spacing};
use crate::rng::{Rng, purpose};

/// One arrival of the whole schedule: its number and its instant in nanoseconds from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub k: u64,
    pub due: u64,
}

/// Which arrivals are this iterator's: those with `k % shards == shard`, and of these every
/// `threads`-th.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub shard: u64,
    pub shards: u64,
    pub thread: u64,
    pub threads: u64,
}

impl Share {
    pub fn owns(&self, k: u64) -> bool {
        k % self.shards == self.shard && (k / self.shards) % self.threads == self.thread
    }
}

enum Kind<'a> {
    Profile { segments: &'a [Segment], spacing: Spacing, total: f64 },
    Replay(&'a [u64]),
}

/// The arrivals of an open model in order of time. Nothing is held but the position.
pub struct Schedule<'a> {
    kind: Kind<'a>,
    share: Share,
    seed: u64,
    k: u64,
    /// The value that the integral of the rate takes at arrival `k`.
    level: f64,
    segment: usize,
    /// Integral of the rate and time (s) at the beginning of `segment`.
    base: f64,
    begin: f64,
}

const SPACING: u64 = purpose("arrival spacing");

impl<'a> Schedule<'a> {
    /// `None` for a closed model, whose arrivals are not known beforehand.
    pub fn new(arrivals: &'a Arrivals, seed: u64, share: Share) -> Option<Self> {
        let kind = match arrivals {
            Arrivals::Profile { spacing, segments } => {
                let total = segments.iter().map(Segment::arrivals).sum::<f64>();
                // Without the margin, rounding would add an arrival at the very end.
                Kind::Profile { segments, spacing: *spacing, total: total * (1.0 - 1e-12) - 1e-9 }
            }
            Arrivals::Replay { due_ns, .. } => Kind::Replay(due_ns),
            Arrivals::Closed { .. } => return None,
        };
        Some(Self { kind, share, seed, k: 0, level: 0.0, segment: 0, base: 0.0, begin: 0.0 })
    }

    fn exponential(&self, k: u64) -> f64 {
        Rng::at(self.seed, SPACING, k).exponential()
    }
}

impl Segment {
    /// Arrivals expected in the whole segment.
    pub fn arrivals(&self) -> f64 {
        0.5 * (self.from_rate + self.to_rate) * self.duration_s
    }

    /// The offset (s) at which the integral of the rate, begun at 0, reaches `area`: the root of
    /// `r0 t + (r1 - r0) t² / 2d = area`, in the form that does not cancel.
    fn offset(&self, area: f64) -> f64 {
        let slope = (self.to_rate - self.from_rate) / self.duration_s;
        let root = (self.from_rate * self.from_rate + 2.0 * slope * area).max(0.0).sqrt();
        let speed = self.from_rate + root;
        if speed <= 0.0 { 0.0 } else { (2.0 * area / speed).min(self.duration_s) }
    }
}

impl Iterator for Schedule<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let k = self.k;
            let due = match self.kind {
                Kind::Replay(due_ns) => {
                    let due = *due_ns.get(usize::try_from(k).ok()?)?;
                    self.k += 1;
                    due
                }
                Kind::Profile { segments, spacing, total } => {
                    let level = match spacing {
                        Spacing::Constant => k as f64,
                        Spacing::Poisson => self.level + self.exponential(k),
                    };
                    if level >= total {
                        return None;
                    }
                    self.level = level;
                    self.k += 1;
                    if !self.share.owns(k) {
                        continue;
                    }
                    // A segment without arrivals cannot hold one, even the first.
                    while level >= self.base + segments[self.segment].arrivals()
                        && self.segment + 1 < segments.len()
                    {
                        self.base += segments[self.segment].arrivals();
                        self.begin += segments[self.segment].duration_s;
                        self.segment += 1;
                    }
                    let offset = segments[self.segment].offset(level - self.base);
                    ((self.begin + offset) * 1e9).round() as u64
                }
            };
            if self.share.owns(k) {
                return Some(Arrival { k, due });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Share = Share { shard: 0, shards: 1, thread: 0, threads: 1 };

    fn profile(spacing: Spacing, parts: &[(f64, f64, f64)]) -> Arrivals {
        let segments = parts
            .iter()
            .map(|&(duration_s, from_rate, to_rate)| Segment { duration_s, from_rate, to_rate })
            .collect();
        Arrivals::Profile { spacing, segments }
    }

    fn due(arrivals: &Arrivals, seed: u64, share: Share) -> Vec<Arrival> {
        Schedule::new(arrivals, seed, share).unwrap().collect()
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced_and_exact() {
        let all = due(&profile(Spacing::Constant, &[(10.0, 1000.0, 1000.0)]), 1, ALL);
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().enumerate().all(|(k, a)| a.due == k as u64 * 1_000_000));
    }

    #[test]
    fn a_ramp_integrates_to_its_area() {
        let all = due(&profile(Spacing::Constant, &[(10.0, 0.0, 1000.0)]), 1, ALL);
        assert_eq!(all.len(), 5_000);
        // The integral is 50 t²: arrival k is due at sqrt(k / 50).
        assert!(
            all.iter().all(|a| { (a.due as f64 / 1e9 - (a.k as f64 / 50.0).sqrt()).abs() < 1e-8 })
        );
    }

    #[test]
    fn a_silent_stretch_holds_nothing() {
        let parts = [(5.0, 0.0, 0.0), (1.0, 100.0, 100.0), (5.0, 0.0, 0.0), (1.0, 100.0, 0.0)];
        let all = due(&profile(Spacing::Constant, &parts), 1, ALL);
        assert_eq!(all.len(), 150);
        assert_eq!(all[0].due, 5_000_000_000);
        assert!(
            all.iter().all(|a| { (5e9..6e9).contains(&(a.due as f64)) || a.due >= 11_000_000_000 })
        );
    }

    #[test]
    fn poisson_counts_have_the_rate_as_mean_and_variance() {
        let all = due(&profile(Spacing::Poisson, &[(2000.0, 50.0, 50.0)]), 9, ALL);
        let mut counts = vec![0.0; 2000];
        for a in &all {
            counts[(a.due / 1_000_000_000) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 2000.0;
        let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / 2000.0;
        assert!((mean - 50.0).abs() < 0.7, "{mean}");
        assert!((variance / mean - 1.0).abs() < 0.15, "{variance}");
    }

    #[test]
    fn the_shares_make_up_the_schedule() {
        for spacing in [Spacing::Constant, Spacing::Poisson] {
            let arrivals = profile(spacing, &[(3.0, 10.0, 500.0), (2.0, 500.0, 0.0)]);
            let whole = due(&arrivals, 4, ALL);
            let mut parts = Vec::new();
            for shard in 0..3 {
                for thread in 0..2 {
                    parts.extend(due(&arrivals, 4, Share { shard, shards: 3, thread, threads: 2 }));
                }
            }
            parts.sort_by_key(|a| a.k);
            assert_eq!(whole, parts);
        }
    }
}
