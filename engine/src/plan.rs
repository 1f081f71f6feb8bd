//! The plan: one JSON document, checked to the last field and compiled.

use crate::document::{Arrivals, Document, Segment, TlsSpec};
use crate::error::{PlanError, nanos};
use crate::feed::{Feed, cumulative, pick};
use crate::request::{Request, Slot, compile_chain};
use crate::rng::{Rng, purpose};
use crate::route::{Route, TargetUrl};
use crate::schedule::Share;
use http::HeaderValue;
use std::net::IpAddr;
use std::time::Duration;

/// What an arrival is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Request(usize),
    Journey(usize),
}

/// Requests that follow one another; its first is the one at the place `first`.
#[derive(Debug)]
pub struct Chain {
    pub name: String,
    pub first: usize,
}

/// The compiled plan.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub shard: u64,
    pub shards: u64,
    pub threads: u64,
    pub arrivals: Arrivals,
    pub start_unix_ns: u64,
    pub targets: Vec<TargetUrl>,
    pub route: Route,
    pub http2: bool,
    pub connections_per_target: usize,
    pub connect_timeout: Duration,
    pub tls: TlsSpec,
    pub max_in_flight: u64,
    pub drain_ns: u64,
    /// How long after its due time an arrival may wait for company before the pacer is woken.
    pub slack_ns: u64,
    /// A next arrival this near is awaited awake.
    pub spin_ns: u64,
    pub max_body_bytes: u64,
    pub bind: Option<IpAddr>,
    /// Those of the mix, then the steps of the chains.
    pub requests: Vec<Request>,
    mixed: usize,
    pub chains: Vec<Chain>,
    pub journeys: Vec<String>,
    pub feeds: Vec<Feed>,
    mix: Vec<f64>,
}

const MIX: u64 = purpose("request mix");
const MAX_RATE: f64 = 1e7;
const MAX_PAUSE: f64 = 0.01;

impl Plan {
    /// Reads and checks a plan.
    pub fn parse(json: &str) -> Result<Self, PlanError> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let document: Document =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| {
                let path = error.path().to_string();
                let problem = error.into_inner();
                match path.as_str() {
                    "." | "?" => PlanError::Value(format!("plan: {problem}")),
                    _ => PlanError::at(path, problem),
                }
            })?;
        reader.end().map_err(|error| PlanError::Value(format!("plan: {error}")))?;
        Self::compile(document)
    }

    fn compile(document: Document) -> Result<Self, PlanError> {
        let d = document;
        check_shards(&d)?;
        d.arrivals.check()?;
        let (targets, route) = crate::route::compile(&d)?;
        if d.requests.is_empty() && d.chains.is_empty() && d.journeys.is_empty() {
            return Err(PlanError::at("requests", "empty; give at least one request or journey"));
        }
        let bind = match d.bind.as_deref().map(str::parse) {
            None => None,
            Some(Ok(address)) => Some(address),
            Some(Err(_)) => {
                return Err(PlanError::at(
                    "bind",
                    "not an IP address; give one of this machine's, or null",
                ));
            }
        };
        // A closed model of journeys alone is walked by users that Python keeps.
        let declared = !d.requests.is_empty() || !d.chains.is_empty();
        let both = declared && !d.journeys.is_empty();
        if matches!(d.arrivals, Arrivals::Closed { .. }) && both {
            return Err(PlanError::at(
                "journeys",
                "a closed model has requests or journeys, not both; remove one of them",
            ));
        }
        let feeds = d
            .feeds
            .iter()
            .map(|(name, spec)| Feed::new(name, spec, d.seed, d.salt))
            .collect::<Result<Vec<_>, _>>()?;
        let weights: Vec<f64> = d
            .requests
            .iter()
            .map(|r| r.weight)
            .chain(d.chains.iter().map(|c| c.weight))
            .chain(d.journeys.iter().map(|j| j.weight))
            .collect();
        for (i, weight) in weights.iter().enumerate() {
            if !(weight.is_finite() && *weight > 0.0) {
                let (requests, chains) = (d.requests.len(), d.chains.len());
                let field = match i {
                    _ if i < requests => format!("requests[{i}].weight"),
                    _ if i < requests + chains => format!("chains[{}].weight", i - requests),
                    _ => format!("journeys[{}].weight", i - requests - chains),
                };
                return Err(PlanError::at(
                    field,
                    format!("{weight} is not a weight; give a number above 0"),
                ));
            }
        }
        let mix = cumulative(&weights).map_err(|problem| PlanError::at("requests", problem))?;
        let mut requests = d
            .requests
            .iter()
            .enumerate()
            .map(|(i, spec)| {
                let at = format!("requests[{i}]");
                if spec.think_s != 0.0 || !spec.capture.is_empty() {
                    let problem = "think_s and capture are for steps of a chain; leave them out";
                    return Err(PlanError::at(at, problem));
                }
                Request::compile(spec, &feeds, &[], &at)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if let Arrivals::Replay { requests: chosen, .. } = &d.arrivals
            && let Some(bad) = chosen.iter().find(|place| **place as usize >= requests.len())
        {
            return Err(PlanError::at(
                "arrivals.requests",
                format!("{bad} of {} requests does not exist; count from 0", requests.len()),
            ));
        }
        let mixed = requests.len();
        let mut chains = Vec::new();
        for (i, chain) in d.chains.iter().enumerate() {
            if chain.name.is_empty() || d.chains[..i].iter().any(|c| c.name == chain.name) {
                return Err(PlanError::at(
                    format!("chains[{i}].name"),
                    format!("{:?} is empty or used twice; name each chain", chain.name),
                ));
            }
            chains.push(Chain { name: chain.name.clone(), first: requests.len() });
            compile_chain(chain, &feeds, &format!("chains[{i}]"), &mut requests)?;
        }
        let names = requests.iter().map(|r| &r.name).chain(d.journeys.iter().map(|j| &j.name));
        let mut seen = std::collections::HashSet::new();
        for name in names {
            if name.is_empty() || !seen.insert(name) {
                return Err(PlanError::at(
                    "requests",
                    format!(
                        "the name {name:?} is empty or used twice; name each request and journey"
                    ),
                ));
            }
        }
        Ok(Self {
            seed: d.seed,
            shard: d.shard,
            shards: d.shards,
            threads: d.threads,
            arrivals: d.arrivals,
            start_unix_ns: d.start_unix_ns,
            targets,
            route,
            http2: d.http2,
            connections_per_target: d.connections_per_target,
            connect_timeout: Duration::from_nanos(nanos(
                "connect_timeout_s",
                d.connect_timeout_s,
                false,
            )?),
            tls: d.tls,
            max_in_flight: d.max_in_flight,
            drain_ns: nanos("drain_s", d.drain_s, true)?,
            slack_ns: pause("pacing.slack_s", d.pacing.slack_s)?,
            spin_ns: pause("pacing.spin_s", d.pacing.spin_s)?,
            max_body_bytes: d.max_body_bytes,
            bind,
            requests,
            mixed,
            chains,
            journeys: d.journeys.into_iter().map(|j| j.name).collect(),
            feeds,
            mix,
        })
    }

    /// What arrival `k` does.
    pub fn errand(&self, k: u64) -> Errand {
        if let Arrivals::Replay { requests, .. } = &self.arrivals
            && let Some(place) = requests.get(k as usize)
        {
            return Errand::Request(*place as usize);
        }
        let index = match self.mix.len() {
            1 => 0,
            _ => pick(&self.mix, Rng::at(self.seed, MIX, k).unit()),
        };
        match index.checked_sub(self.mixed) {
            None => Errand::Request(index),
            Some(chain) => match self.chains.get(chain) {
                Some(chain) => Errand::Request(chain.first),
                None => Errand::Journey(chain - self.chains.len()),
            },
        }
    }

    /// The chain that a request is a step of.
    pub fn chain_of(&self, request: usize) -> Option<usize> {
        self.chains.partition_point(|chain| chain.first <= request).checked_sub(1)
    }

    /// Replaces the values of a given feed, for requests that are offered from now on.
    pub fn give(&self, name: &str, values: Vec<String>) -> Result<(), String> {
        let (place, feed) = self
            .feeds
            .iter()
            .enumerate()
            .find(|(_, feed)| feed.name == name)
            .ok_or_else(|| format!("there is no feed {name:?}"))?;
        let stands = |request: &Request| {
            let mut slots = request.dynamic.iter().flat_map(|header| header.value.slots());
            slots.any(|slot| request.slots[slot] == Slot::Feed(place))
        };
        // The value itself is a secret: it is not shown.
        if values.iter().any(|value| HeaderValue::from_str(value).is_err())
            && self.requests.iter().any(stands)
        {
            return Err(format!("feed {name:?} got a value that a header cannot hold"));
        }
        if feed.give(values) {
            return Ok(());
        }
        Err(format!("feed {name:?} has values of its own"))
    }

    /// The part of the schedule that one engine thread sends.
    pub fn share(&self, thread: u64) -> Share {
        Share { shard: self.shard, shards: self.shards, thread, threads: self.threads }
    }

    /// The whole of this shard's schedule.
    pub fn whole_share(&self) -> Share {
        Share { thread: 0, threads: 1, ..self.share(0) }
    }

    /// Nanoseconds from the start until no more requests arrive.
    pub fn duration_ns(&self) -> u64 {
        match &self.arrivals {
            Arrivals::Profile { segments, .. } => {
                (segments.iter().map(|s| s.duration_s).sum::<f64>() * 1e9).round() as u64
            }
            Arrivals::Replay { due_ns, .. } => due_ns.last().copied().unwrap_or(0),
            Arrivals::Closed { duration_s, .. } => (duration_s * 1e9).round() as u64,
        }
    }
}

fn check_shards(d: &Document) -> Result<(), PlanError> {
    if d.shards == 0 || d.shards > 4096 {
        return Err(PlanError::at(
            "shards",
            format!("{} is not a number of shards; give 1 to 4096", d.shards),
        ));
    }
    if d.shard >= d.shards {
        return Err(PlanError::at(
            "shard",
            format!("{} of {} does not exist; count from 0", d.shard, d.shards),
        ));
    }
    if d.threads == 0 || d.threads > 256 {
        return Err(PlanError::at(
            "threads",
            format!("{} is not a number of threads; give 1 to 256", d.threads),
        ));
    }
    if (d.connections_per_target as u64) < d.threads || d.connections_per_target > 65_536 {
        return Err(PlanError::at(
            "connections_per_target",
            format!(
                "{} is out of range; give at least one for each of the {} threads, at most 65536",
                d.connections_per_target, d.threads,
            ),
        ));
    }
    if d.max_in_flight == 0 || d.max_in_flight > 10_000_000 {
        return Err(PlanError::at(
            "max_in_flight",
            format!("{} is out of range; give 1 to 10000000", d.max_in_flight),
        ));
    }
    Ok(())
}

impl Arrivals {
    fn check(&self) -> Result<(), PlanError> {
        match self {
            Self::Profile { segments, .. } => {
                if segments.is_empty() {
                    return Err(PlanError::at("arrivals.segments", "empty; give at least one"));
                }
                for (i, s) in segments.iter().enumerate() {
                    let at = |field: &str| format!("arrivals.segments[{i}].{field}");
                    nanos(&at("duration_s"), s.duration_s, false)?;
                    for (field, rate) in [("from_rate", s.from_rate), ("to_rate", s.to_rate)] {
                        if !(0.0..=MAX_RATE).contains(&rate) {
                            return Err(PlanError::at(
                                at(field),
                                format!("{rate} is not a rate; give 0 to {MAX_RATE} requests/s"),
                            ));
                        }
                    }
                }
                nanos(
                    "arrivals.segments (sum of duration_s)",
                    segments.iter().map(|s| s.duration_s).sum(),
                    false,
                )?;
                if segments.iter().map(Segment::arrivals).sum::<f64>() <= 0.0 {
                    return Err(PlanError::at(
                        "arrivals.segments",
                        "the rate is 0 throughout; give a rate above 0",
                    ));
                }
            }
            Self::Replay { due_ns, requests } => {
                if !requests.is_empty() && requests.len() != due_ns.len() {
                    return Err(PlanError::at(
                        "arrivals.requests",
                        format!(
                            "{} for {} arrivals; give one for each",
                            requests.len(),
                            due_ns.len()
                        ),
                    ));
                }
                if due_ns.is_empty() {
                    return Err(PlanError::at(
                        "arrivals.due_ns",
                        "empty; give at least one instant",
                    ));
                }
                if let Some(i) = due_ns.windows(2).position(|pair| pair[0] > pair[1]) {
                    return Err(PlanError::at(
                        format!("arrivals.due_ns[{}]", i + 1),
                        "earlier than the one before; sort them",
                    ));
                }
                nanos(
                    "arrivals.due_ns (the last)",
                    *due_ns.last().unwrap_or(&0) as f64 / 1e9,
                    true,
                )?;
            }
            Self::Closed { users, duration_s, think_s } => {
                if *users == 0 || *users > 1_000_000 {
                    return Err(PlanError::at(
                        "arrivals.users",
                        format!("{users} is out of range; give 1 to 1000000"),
                    ));
                }
                nanos("arrivals.duration_s", *duration_s, false)?;
                nanos("arrivals.think_s", *think_s, true)?;
            }
        }
        Ok(())
    }
}

/// A time for which the pacer may leave its schedule or its sleep alone.
fn pause(field: &str, seconds: f64) -> Result<u64, PlanError> {
    if (0.0..=MAX_PAUSE).contains(&seconds) {
        return Ok((seconds * 1e9).round() as u64);
    }
    Err(PlanError::at(field, format!("{seconds} s is out of range; give 0 to {MAX_PAUSE} s")))
}
