//! One request and its response over an HTTP/2 connection that exists.

use crate::answer::{Answer, SHOWN};
use crate::capture::Capture;
use crate::error_kind::ErrorKind;
use crate::kept::Kept;
use crate::request::Request as Template;
use crate::response::ResponseResult;
use crate::route::TargetUrl;
use crate::stream::{Reader, Streamed};
use bytes::Bytes;
use h2::Reason;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::time::timeout;

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
            body: template.body.as_ref().filter(|body| body.is_fixed()).map(|body| {
                let mut bytes = Vec::new();
                body.render(&[], &mut bytes);
                Bytes::from(bytes)
            }),
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
                let mut bytes = Vec::new();
                template.render(values, &mut bytes);
                Bytes::from(bytes)
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

/// Awaits the head, reads the body up to the limit, and judges. `gap` is given each time between two
/// events of a stream, and how often it was seen.
pub async fn complete(
    response: impl Future<Output = Result<Response<Incoming>, TrySendError<Outgoing>>>,
    template: &Template,
    values: &[String],
    limit: u64,
    now: impl Fn() -> u64,
    gap: impl Fn(u64, u32),
) -> ResponseResult {
    let mut reader = template.stream.as_ref().map(Reader::new);
    let response = match patient(template, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let unprocessed = is_unprocessed(&error);
            let ended = ResponseResult::failed(kind_of(error.error()), now());
            return ResponseResult { unprocessed, ..ended };
        }
        Err(kind) => return ResponseResult::failed(kind, now()),
    };
    let status = response.status().as_u16();
    let first = Some(now());
    let mut answer = Answer::keeping(template.captures.iter().any(Capture::needs_headers));
    let mut noted = response.headers().iter();
    let noted = noted.try_for_each(|(name, value)| answer.note(name.as_str(), value.as_bytes()));
    if let Some(reader) = &mut reader {
        reader.hear(now());
        reader.begin(answer.format(), status);
    }
    let keep = template.needs_body();
    let mut kept = Kept::default();
    let mut bytes_in = 0;
    let mut body = response.into_body();
    let read = async {
        noted?;
        while !body.is_end_stream() {
            let Some(frame) = patient(template, body.frame()).await? else { break };
            let frame = frame.map_err(|error| kind_of(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            bytes_in += data.len() as u64;
            if bytes_in > limit {
                return Err(ErrorKind::BodyTooLarge);
            }
            let shows = Answer::shows(status) || reader.as_ref().is_some_and(Reader::is_document);
            let room = match (keep, shows) {
                (true, _) => data.len(),
                (false, true) => SHOWN.saturating_sub(kept.len()).min(data.len()),
                (false, false) => 0,
            };
            kept.extend(&data[..room])?;
            if let Some(reader) = &mut reader {
                reader.hear(now());
                reader.take(data)?;
                reader.report_gaps(&gap);
            }
        }
        Ok(())
    };
    let error = read.await.err();
    // The clock stops before the checks: their cost is not the server's.
    let done = now();
    let wrong = reader.as_mut().and_then(|reader| reader.fault(error, done));
    let stream = reader.map(|reader| Streamed { first_byte: first, ..reader.streamed() });
    let ended = ResponseResult {
        error,
        status,
        bytes_in,
        first,
        done,
        stream,
        ..ResponseResult::default()
    };
    ended.concluded(template, values, &answer, (&kept, limit), wrong)
}

/// Waits for the next part of an answer: of a stream, no longer than it may be silent.
async fn patient<T>(template: &Template, part: impl Future<Output = T>) -> Result<T, ErrorKind> {
    match &template.stream {
        None => Ok(part.await),
        Some(stream) => timeout(Duration::from_nanos(stream.silence_ns), part)
            .await
            .map_err(|_| ErrorKind::Timeout),
    }
}

/// Whether a request was certainly not processed (RFC 9113, 8.7): it never left, the server refused
/// its stream, or the connection was going away before the server came to it.
fn is_unprocessed(error: &TrySendError<Outgoing>) -> bool {
    let refused = |cause: &h2::Error| {
        cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(Reason::REFUSED_STREAM))
    };
    let cause = error.error().source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.message().is_some() || cause.is_some_and(refused)
}

/// What hyper's error means.
pub fn kind_of(error: &hyper::Error) -> ErrorKind {
    if error.is_parse() || error.is_user() {
        return ErrorKind::Protocol;
    }
    if error.is_incomplete_message() {
        return ErrorKind::Eof;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return ErrorKind::of_stream(io);
        }
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return match h2.get_io() {
                Some(io) => ErrorKind::of_stream(io),
                None if h2.is_remote() => ErrorKind::Reset,
                None => ErrorKind::Protocol,
            };
        }
        source = cause.source();
    }
    if error.is_canceled() || error.is_closed() { ErrorKind::Eof } else { ErrorKind::Protocol }
}
