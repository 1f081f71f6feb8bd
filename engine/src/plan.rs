//! The plan: one JSON document, checked to the last field and compiled.

use crate::check::Check;
use crate::document::{Arrivals, Document, PlanError, RequestSpec, Segment, TlsSpec};
use crate::feed::{Feed, cumulative, pick};
use crate::rng::{Rng, purpose};
use crate::route::{Route, TargetUrl};
use crate::schedule::Share;
use crate::stream::Streaming;
use crate::template::{Encoding, Template};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use std::net::IpAddr;
use std::time::Duration;

/// A header whose value may hold feeds.
#[derive(Debug)]
pub struct DynamicHeader {
    pub name: HeaderName,
    pub value: Template,
}

/// A request template ready to render.
#[derive(Debug)]
pub struct Request {
    pub name: String,
    pub method: Method,
    pub path: Template,
    /// Headers without feeds; the Host header is not among them unless the plan gives it.
    pub headers: HeaderMap,
    pub dynamic: Vec<DynamicHeader>,
    pub body: Option<Template>,
    pub timeout_ns: u64,
    pub log: bool,
    /// Whether the time to the head of the response is recorded.
    pub first_byte: bool,
    pub checks: Vec<Check>,
    /// Absent where the answer is taken as one.
    pub stream: Option<Streaming>,
    /// The feeds that this request draws from; a template's slots index this list.
    pub feeds: Vec<usize>,
}

/// What an arrival is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Request(usize),
    Journey(usize),
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
    pub requests: Vec<Request>,
    pub journeys: Vec<String>,
    pub feeds: Vec<Feed>,
    mix: Vec<f64>,
}

const MIX: u64 = purpose("request mix");
const MAX_RATE: f64 = 1e7;
const MAX_SECONDS: f64 = 31.0 * 86_400.0;
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
        if d.requests.is_empty() && d.journeys.is_empty() {
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
        let both = !d.journeys.is_empty() && !d.requests.is_empty();
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
            .chain(d.journeys.iter().map(|j| j.weight))
            .collect();
        for (i, weight) in weights.iter().enumerate() {
            if !(weight.is_finite() && *weight > 0.0) {
                let field = match i.checked_sub(d.requests.len()) {
                    None => format!("requests[{i}].weight"),
                    Some(journey) => format!("journeys[{journey}].weight"),
                };
                return Err(PlanError::at(
                    field,
                    format!("{weight} is not a weight; give a number above 0"),
                ));
            }
        }
        let mix = cumulative(&weights).map_err(|problem| PlanError::at("requests", problem))?;
        let requests = d
            .requests
            .iter()
            .enumerate()
            .map(|(i, spec)| Request::compile(spec, &feeds, &format!("requests[{i}]")))
            .collect::<Result<Vec<_>, _>>()?;
        if let Arrivals::Replay { requests: chosen, .. } = &d.arrivals
            && let Some(bad) = chosen.iter().find(|place| **place as usize >= requests.len())
        {
            return Err(PlanError::at(
                "arrivals.requests",
                format!("{bad} of {} requests does not exist; count from 0", requests.len()),
            ));
        }
        let names = d.requests.iter().map(|r| &r.name).chain(d.journeys.iter().map(|j| &j.name));
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
        match index.checked_sub(self.requests.len()) {
            None => Errand::Request(index),
            Some(journey) => Errand::Journey(journey),
        }
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
            slots.any(|slot| request.feeds[slot] == place)
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

pub fn nanos(field: &str, seconds: f64, zero: bool) -> Result<u64, PlanError> {
    let low_enough = seconds <= MAX_SECONDS;
    let high_enough = if zero { seconds >= 0.0 } else { seconds >= 1e-3 };
    if low_enough && high_enough {
        return Ok((seconds * 1e9).round() as u64);
    }
    let least = if zero { "0" } else { "0.001" };
    Err(PlanError::at(
        field,
        format!("{seconds} s is out of range; give {least} to {MAX_SECONDS} s"),
    ))
}

impl Request {
    /// How long nothing at all may come, from `ready` on.
    pub fn patience_ns(&self) -> u64 {
        self.stream.as_ref().map_or(self.timeout_ns, |s| s.silence_ns.min(self.timeout_ns))
    }

    fn compile(spec: &RequestSpec, feeds: &[Feed], at: &str) -> Result<Self, PlanError> {
        let mut used: Vec<usize> = Vec::new();
        let mut compile = |text: &str, encoding: Encoding| {
            Template::compile(text, encoding, |name| slot(name, feeds, &mut used))
        };
        let err = |field: &str, problem: String| PlanError::at(format!("{at}.{field}"), problem);
        let method: Method =
            spec.method.parse().ok().filter(|method| method != Method::CONNECT).ok_or_else(
                || err("method", format!("{:?} is not a method; use GET, POST, …", spec.method)),
            )?;
        let path = compile(&spec.path, Encoding::Url).map_err(|problem| err("path", problem))?;
        if !spec.path.starts_with('/') {
            return Err(err(
                "path",
                format!("{:?} does not begin with a slash; begin it with one", spec.path),
            ));
        }
        if spec.path.contains('#') {
            return Err(err("path", "holds '#', which is never sent; write %23".into()));
        }
        let json = spec.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.to_ascii_lowercase().contains("json")
        });
        let encoding = if json { Encoding::Json } else { Encoding::Plain };
        let body = match &spec.body {
            None => None,
            Some(text) => Some(compile(text, encoding).map_err(|problem| err("body", problem))?),
        };
        let mut headers = HeaderMap::new();
        let mut dynamic = Vec::new();
        for (i, (name, value)) in spec.headers.iter().enumerate() {
            let field = format!("headers[{i}]");
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| err(&field, format!("{name:?} is not a header name")))?;
            if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
                return Err(err(&field, format!("{name} is set by the engine; remove it")));
            }
            let value = compile(value, Encoding::Plain).map_err(|problem| err(&field, problem))?;
            match value.fixed() {
                Some(text) => {
                    let value = HeaderValue::from_str(text).map_err(|_| {
                        err(&field, format!("{text:?} holds characters a header cannot"))
                    })?;
                    headers.append(name, value);
                }
                None => dynamic.push(DynamicHeader { name, value }),
            }
        }
        let checks = spec
            .checks
            .iter()
            .enumerate()
            .map(|(i, check)| {
                Check::compile(check, &mut compile)
                    .map_err(|problem| err(&format!("checks[{i}]"), problem))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for header in &dynamic {
            for feed in header.value.slots().map(|slot| &feeds[used[slot]]) {
                if let Some(bad) = feed.values().iter().find(|v| HeaderValue::from_str(v).is_err())
                {
                    return Err(err(
                        "headers",
                        format!(
                            "feed {:?} holds {bad:?}, which a header cannot; remove that value",
                            feed.name,
                        ),
                    ));
                }
            }
        }
        Ok(Self {
            name: spec.name.clone(),
            method,
            path,
            headers,
            dynamic,
            body,
            timeout_ns: nanos(&format!("{at}.timeout_s"), spec.timeout_s, false)?,
            log: spec.log,
            first_byte: spec.first_byte,
            checks,
            stream: streaming(spec, at)?,
            feeds: used,
        })
    }
}

fn streaming(spec: &RequestSpec, at: &str) -> Result<Option<Streaming>, PlanError> {
    let Some(stream) = &spec.stream else { return Ok(None) };
    let silence_ns = nanos(&format!("{at}.stream.silence_s"), stream.silence_s, false)?;
    if stream.until.as_deref().is_some_and(|until| until.trim().is_empty()) {
        return Err(PlanError::at(
            format!("{at}.stream.until"),
            "empty; give the data of the last event, or null",
        ));
    }
    if let Some(limits) = &stream.limits {
        for (field, limit) in
            [("ttft_s", limits.ttft_s), ("itl_s", limits.itl_s), ("response_s", limits.response_s)]
        {
            nanos(&format!("{at}.stream.limits.{field}"), limit.unwrap_or(0.0), true)?;
        }
    }
    Ok(Some(Streaming::new(stream, silence_ns)))
}

/// The slot of feed `name` in a request that already draws from `used`.
fn slot(name: &str, feeds: &[Feed], used: &mut Vec<usize>) -> Result<usize, String> {
    let feed = feeds.iter().position(|feed| feed.name == name).ok_or_else(|| {
        let known: Vec<&str> = feeds.iter().map(|feed| feed.name.as_str()).collect();
        format!(
            "there is no feed {name:?} (feeds: {}); add it, or write {{{{ and }}}} for braces",
            if known.is_empty() { "none".into() } else { known.join(", ") },
        )
    })?;
    Ok(used.iter().position(|index| *index == feed).unwrap_or_else(|| {
        used.push(feed);
        used.len() - 1
    }))
}
