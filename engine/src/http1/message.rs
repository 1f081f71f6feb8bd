//! A request as bytes.

use crate::body::Body;
use crate::request::Request as Template;
use crate::route::TargetUrl;
use crate::template::Sink as _;
use http::header::HOST;
use std::fmt::Write as _;

const MAX_PATH: usize = 65_534;

/// One template as it goes to one target.
pub struct Message {
    /// All of it, when nothing varies.
    fixed: Option<Vec<u8>>,
    /// The length of the body then.
    fixed_body: u64,
    /// The lines of the headers that do not vary.
    headers: String,
}

impl Message {
    pub fn new(template: &Template, target: &TargetUrl) -> Self {
        let mut headers = target.lines.clone();
        let own_host = template.headers.contains_key(HOST)
            || template.dynamic.iter().any(|header| header.name == HOST);
        if !own_host {
            let _ = write!(headers, "host: {}\r\n", target.authority);
        }
        for (name, value) in &template.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let _ = write!(headers, "{name}: {value}\r\n");
        }
        let mut message = Self { fixed: None, fixed_body: 0, headers };
        let bodies = template.body.as_ref().is_none_or(Body::is_fixed);
        if template.dynamic.is_empty() && template.path.fixed().is_some() && bodies {
            let mut bytes = Vec::new();
            if let Some(body) = message.write(template, target, &[], &mut bytes) {
                (message.fixed, message.fixed_body) = (Some(bytes), body);
            }
        }
        message
    }

    /// Writes the request with its values in place and gives the length of its body; `None` if they
    /// do not make one (a path too long).
    pub fn write(
        &self,
        template: &Template,
        target: &TargetUrl,
        values: &[String],
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        out.clear();
        if let Some(fixed) = &self.fixed {
            out.extend_from_slice(fixed);
            return Some(self.fixed_body);
        }
        out.push_str(template.method.as_str());
        out.push(b' ');
        let begin = out.len();
        out.push_str(&target.prefix);
        template.path.render(values, out);
        if out.len() - begin > MAX_PATH {
            return None;
        }
        out.push_str(" HTTP/1.1\r\n");
        out.push_str(&self.headers);
        for header in &template.dynamic {
            out.push_str(header.name.as_str());
            out.push_str(": ");
            let begin = out.len();
            header.value.render(values, out);
            let allowed = |byte: &u8| *byte >= b' ' && *byte != 127 || *byte == b'\t';
            if !out[begin..].iter().all(allowed) {
                return None;
            }
            out.push_str("\r\n");
        }
        let Some(body) = &template.body else {
            out.push_str("\r\n");
            return Some(0);
        };
        let mut bytes = Vec::new();
        body.render(values, &mut bytes);
        if !bytes.is_empty() {
            // Writing to a vector cannot fail.
            let _ =
                std::io::Write::write_fmt(out, format_args!("content-length: {}\r\n", bytes.len()));
        }
        out.push_str("\r\n");
        out.extend_from_slice(&bytes);
        Some(bytes.len() as u64)
    }
}
