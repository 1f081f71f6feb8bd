//! One request and its response over an HTTP/2 connection that exists.

use crate::answer::{Answer, SHOWN};
use crate::check::{Check, judge};
use crate::kept::Kept;
use crate::kind::Kind;
use crate::plan::{Request as Template, TargetUrl};
use crate::response::ResponseResult;
use bytes::Bytes;
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
    authority: Option<Authority>,
}

impl Prepared {
    pub fn new(template: &Template, target: &TargetUrl) -> Self {
        let mut prepared = Self {
            uri: None,
            headers: template.headers.clone(),
            body: template
                .body
                .as_ref()
                .and_then(|body| body.fixed().map(|text| Bytes::copy_from_slice(text.as_bytes()))),
            scheme: if target.tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority: target.authority.parse().ok(),
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

/// Awaits the head, reads the body up to the limit, and judges.
pub async fn complete(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
    template: &Template,
    values: &[String],
    limit: u64,
    now: impl Fn() -> u64,
) -> ResponseResult {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return ResponseResult::failed(kind_of(&error), now()),
    };
    let status = response.status().as_u16();
    let mut ended = ResponseResult { status, first: Some(now()), ..ResponseResult::default() };
    let mut answer = Answer::default();
    for (name, value) in response.headers() {
        answer.note(name.as_str(), value.as_bytes());
    }
    let keep = template.checks.iter().any(Check::needs_body);
    let mut kept = Kept::default();
    let mut body = response.into_body();
    while !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                ended.bytes_in += data.len() as u64;
                if ended.bytes_in > limit {
                    return ResponseResult {
                        error: Some(Kind::BodyTooLarge),
                        done: now(),
                        ..ended
                    };
                }
                let room = match (keep, Answer::shows(status)) {
                    (true, _) => data.len(),
                    (false, true) => SHOWN.saturating_sub(kept.len()).min(data.len()),
                    (false, false) => 0,
                };
                if let Err(error) = kept.extend(&data[..room]) {
                    return ResponseResult { error: Some(error), done: now(), ..ended };
                }
            }
            Some(Err(error)) => {
                return ResponseResult { error: Some(kind_of(&error)), done: now(), ..ended };
            }
        }
    }
    // The clock stops before the checks: their cost is not the server's.
    ended.done = now();
    ended.error = judge(&template.checks, status, (&kept[..], answer.coding), limit, values);
    if ended.error.is_some() {
        ended.evidence = Some(answer.evidence(&kept));
    }
    ended
}

/// What hyper's error means.
pub fn kind_of(error: &hyper::Error) -> Kind {
    if error.is_parse() || error.is_user() {
        return Kind::Protocol;
    }
    if error.is_incomplete_message() {
        return Kind::Eof;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Kind::of_stream(io);
        }
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return match h2.get_io() {
                Some(io) => Kind::of_stream(io),
                None if h2.is_remote() => Kind::Reset,
                None => Kind::Protocol,
            };
        }
        source = cause.source();
    }
    if error.is_canceled() || error.is_closed() { Kind::Eof } else { Kind::Protocol }
}
