//! One request and its response over a connection that exists.

use crate::check::{Check, judge};
use crate::kind::Kind;
use crate::plan::Request as Template;
use crate::plan::{Plan, TargetUrl};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use std::error::Error;
use std::io;

pub type Outgoing = Request<Full<Bytes>>;

/// What of a request is the same each time, for one template and one target.
pub struct Prepared {
    /// Absent when the path holds feeds.
    uri: Option<Uri>,
    headers: HeaderMap,
    body: Option<Bytes>,
    scheme: Scheme,
    /// Only HTTP/2 says it in the URI.
    authority: Option<Authority>,
}

impl Prepared {
    pub fn new(plan: &Plan, template: &Template, target: &TargetUrl) -> Self {
        let mut headers = template.headers.clone();
        let own_host =
            headers.contains_key(HOST) || template.dynamic.iter().any(|h| h.name == HOST);
        if !plan.http2
            && !own_host
            && let Ok(value) = HeaderValue::from_str(&target.authority)
        {
            headers.insert(HOST, value);
        }
        let mut prepared = Self {
            uri: None,
            headers,
            body: template
                .body
                .as_ref()
                .and_then(|body| body.fixed().map(|text| Bytes::copy_from_slice(text.as_bytes()))),
            scheme: if target.tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority: if plan.http2 { target.authority.parse().ok() } else { None },
        };
        if template.path.fixed().is_some() {
            prepared.uri = prepared.address(template, target, &[]);
        }
        prepared
    }

    fn address(&self, template: &Template, target: &TargetUrl, values: &[String]) -> Option<Uri> {
        let mut path = String::with_capacity(64);
        path.push_str(&target.prefix);
        template.path.render(values, &mut path);
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?;
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if let Some(authority) = &self.authority {
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(authority.clone());
        }
        Uri::from_parts(parts).ok()
    }

    /// The request with its values in place; `None` if they do not make one (a path too long).
    pub fn render(
        &self,
        template: &Template,
        target: &TargetUrl,
        values: &[String],
    ) -> Option<Outgoing> {
        let uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => self.address(template, target, values)?,
        };
        let mut headers = self.headers.clone();
        for header in &template.dynamic {
            let mut text = String::new();
            header.value.render(values, &mut text);
            headers.append(
                header.name.clone(),
                HeaderValue::from_maybe_shared(Bytes::from(text)).ok()?,
            );
        }
        let body = match (&self.body, &template.body) {
            (Some(fixed), _) => fixed.clone(),
            (None, Some(template)) => {
                let mut text = String::new();
                template.render(values, &mut text);
                Bytes::from(text)
            }
            (None, None) => Bytes::new(),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// How a response came out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    pub error: Option<Kind>,
    pub status: u16,
    pub bytes_in: u64,
    /// When the head was there, in the caller's clock.
    pub first: Option<u64>,
    /// When the body was complete.
    pub done: u64,
    /// Whether the response was read to its end, so that the connection may be used again.
    pub whole: bool,
}

impl Ended {
    pub fn failed(error: Kind, now: u64) -> Self {
        Self { error: Some(error), done: now, ..Self::default() }
    }
}

/// Awaits the head, reads the body up to the limit, and judges. `heard` tells whether anything has
/// been read from the peer since the request was sent.
pub async fn complete(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
    template: &Template,
    values: &[String],
    limit: u64,
    heard: impl Fn() -> bool,
    now: impl Fn() -> u64,
) -> Ended {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return Ended::failed(kind_of(&error, heard()), now()),
    };
    let status = response.status().as_u16();
    let mut ended = Ended { status, first: Some(now()), ..Ended::default() };
    let keep = template.checks.iter().any(Check::needs_body);
    let mut kept = Vec::new();
    let mut body = response.into_body();
    while !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                ended.bytes_in += data.len() as u64;
                if ended.bytes_in > limit {
                    return Ended { error: Some(Kind::BodyTooLarge), done: now(), ..ended };
                }
                if keep {
                    kept.extend_from_slice(data);
                }
            }
            Some(Err(error)) => {
                return Ended { error: Some(kind_of(&error, false)), done: now(), ..ended };
            }
        }
    }
    // The clock stops before the checks: their cost is not the server's.
    ended.done = now();
    ended.whole = true;
    ended.error = judge(&template.checks, status, &kept, values);
    ended
}

/// What hyper's error means. `heard`: part of a response had come.
pub fn kind_of(error: &hyper::Error, heard: bool) -> Kind {
    if error.is_parse() || error.is_user() {
        return Kind::Protocol;
    }
    if error.is_incomplete_message() {
        return if heard { Kind::Protocol } else { Kind::Eof };
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return of_stream(io);
        }
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return match h2.get_io() {
                Some(io) => of_stream(io),
                None if h2.is_remote() => Kind::Reset,
                None => Kind::Protocol,
            };
        }
        source = cause.source();
    }
    if error.is_canceled() || error.is_closed() { Kind::Eof } else { Kind::Protocol }
}

fn of_stream(error: &io::Error) -> Kind {
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Kind::Tls;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Kind::Eof,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            Kind::Protocol
        }
        _ => Kind::Reset,
    }
}
