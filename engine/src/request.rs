//! Requests ready to render, alone or as the steps of a chain.

use crate::body::Body;
use crate::capture::Capture;
use crate::check::Check;
use crate::document::{ChainSpec, RequestSpec};
use crate::error::{PlanError, nanos};
use crate::feed::Feed;
use crate::stream::Streaming;
use crate::template::{Encoding, Template, is_name};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

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
    pub body: Option<Body>,
    pub timeout_ns: u64,
    pub log: bool,
    /// Whether the time to the head of the response is recorded.
    pub first_byte: bool,
    pub checks: Vec<Check>,
    /// Absent where the answer is taken as one.
    pub stream: Option<Streaming>,
    /// What the slots of its templates stand for.
    pub slots: Vec<Slot>,
    /// Of a step of a chain: what it takes from the answer.
    pub captures: Vec<Capture>,
    /// Of a step of a chain: how long after the answer before it is due.
    pub think_ns: u64,
    /// Of a step of a chain: the request after it.
    pub next: Option<usize>,
}

/// Where the value of a slot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Feed(usize),
    /// A value that an earlier step of the chain has captured.
    Captured(usize),
}

impl Request {
    /// How long nothing at all may come, from `ready` on.
    pub fn patience_ns(&self) -> u64 {
        self.stream.as_ref().map_or(self.timeout_ns, |s| s.silence_ns.min(self.timeout_ns))
    }

    /// `captured` are the names of the values that earlier steps have, in the order of their slots.
    pub fn compile(
        spec: &RequestSpec,
        feeds: &[Feed],
        captured: &[String],
        at: &str,
    ) -> Result<Self, PlanError> {
        let mut used: Vec<Slot> = Vec::new();
        let mut compile = |text: &str, encoding: Encoding| {
            Template::compile(text, encoding, |name| slot(name, feeds, captured, &mut used))
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
        let written_as = |what: &str| {
            spec.headers.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("content-type")
                    && value.to_ascii_lowercase().contains(what)
            })
        };
        let encoding = match () {
            () if written_as("json") => Encoding::Json,
            () if written_as("x-www-form-urlencoded") => Encoding::Form,
            () => Encoding::Plain,
        };
        let body = match &spec.body {
            None => None,
            Some(body) => Some(
                Body::compile(body, encoding, &mut compile)
                    .map_err(|problem| err("body", problem))?,
            ),
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
            for slot in header.value.slots() {
                let Slot::Feed(feed) = used[slot] else { continue };
                let feed = &feeds[feed];
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
            slots: used,
            captures: Vec::new(),
            think_ns: 0,
            next: None,
        })
    }

    /// Whether the body has to be kept to decide, or to take something from it.
    pub fn needs_body(&self) -> bool {
        self.checks.iter().any(Check::needs_body) || self.captures.iter().any(Capture::needs_body)
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

/// Appends the steps of a chain, each of which knows the one after it.
pub fn compile_chain(
    spec: &ChainSpec,
    feeds: &[Feed],
    at: &str,
    requests: &mut Vec<Request>,
) -> Result<(), PlanError> {
    let mut captured: Vec<String> = Vec::new();
    for (i, step) in spec.steps.iter().enumerate() {
        let at = format!("{at}.steps[{i}]");
        let mut request = Request::compile(step, feeds, &captured, &at)?;
        request.think_ns = nanos(&format!("{at}.think_s"), step.think_s, true)?;
        if i == 0 && request.think_ns > 0 {
            let problem = "the first step is due when the chain is; leave it out";
            return Err(PlanError::at(format!("{at}.think_s"), problem));
        }
        for (name, source) in &step.capture {
            let problem = if !is_name(name) {
                Some("is no name; use letters, digits, _ - and .")
            } else if feeds.iter().any(|feed| feed.name == *name) {
                Some("is a feed as well; rename one")
            } else {
                None
            };
            if let Some(problem) = problem {
                return Err(PlanError::at(format!("{at}.capture"), format!("{name:?} {problem}")));
            }
            let slot = captured.iter().position(|known| known == name).unwrap_or_else(|| {
                captured.push(name.clone());
                captured.len() - 1
            });
            request.captures.push(Capture::compile(name, slot, source, &at)?);
        }
        request.next = (i + 1 < spec.steps.len()).then_some(requests.len() + 1);
        requests.push(request);
    }
    if spec.steps.is_empty() {
        return Err(PlanError::at(format!("{at}.steps"), "empty; give at least one request"));
    }
    Ok(())
}

/// The slot of `name` in a request that already has `used`.
fn slot(
    name: &str,
    feeds: &[Feed],
    captured: &[String],
    used: &mut Vec<Slot>,
) -> Result<usize, String> {
    let feed = feeds.iter().position(|feed| feed.name == name).map(Slot::Feed);
    let value = || captured.iter().position(|known| known == name).map(Slot::Captured);
    let found = feed.or_else(value).ok_or_else(|| {
        let known: Vec<&str> = feeds
            .iter()
            .map(|feed| feed.name.as_str())
            .chain(captured.iter().map(|n| &**n))
            .collect();
        format!(
            "there is no feed {name:?} (feeds: {}); add it, or write {{{{ and }}}} for braces",
            if known.is_empty() { "none".into() } else { known.join(", ") },
        )
    })?;
    Ok(used.iter().position(|known| *known == found).unwrap_or_else(|| {
        used.push(found);
        used.len() - 1
    }))
}
