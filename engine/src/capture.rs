//! Values that a response gives to the next requests of its chain.

use crate::answer::{Answer, Content};
use crate::document::CaptureSpec;
use crate::error::PlanError;
use crate::error_kind::ErrorKind;
use crate::json;
use regex::bytes::Regex;
use std::borrow::Cow;

/// One value to look for; its place among the values of the chain is `slot`.
#[derive(Debug)]
pub struct Capture {
    name: String,
    pub slot: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Json(String),
    Header(String),
    Cookie(String),
    Regex(Box<Regex>),
}

/// Longest value, in bytes: beyond it a page was caught, not a value.
const LONGEST: usize = 64 << 10;

impl Capture {
    pub fn compile(
        name: &str,
        slot: usize,
        spec: &CaptureSpec,
        at: &str,
    ) -> Result<Self, PlanError> {
        let at = format!("{at}.capture.{name}");
        let source = match spec {
            CaptureSpec::Json { pointer } => {
                if !(pointer.is_empty() || pointer.starts_with('/')) {
                    return Err(PlanError::at(
                        at,
                        format!("the pointer {pointer:?} does not begin with a slash (RFC 6901)"),
                    ));
                }
                Source::Json(pointer.clone())
            }
            CaptureSpec::Header { name } | CaptureSpec::Cookie { name } if name.is_empty() => {
                return Err(PlanError::at(at, "the name is empty; give one"));
            }
            CaptureSpec::Header { name } => Source::Header(name.clone()),
            CaptureSpec::Cookie { name } => Source::Cookie(name.clone()),
            CaptureSpec::Regex { pattern } => {
                Source::Regex(Box::new(Regex::new(pattern).map_err(|error| {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default().trim().to_owned();
                    PlanError::at(&at, format!("the pattern {pattern:?}: {last}"))
                })?))
            }
        };
        Ok(Self { name: name.to_owned(), slot, source })
    }

    pub fn needs_body(&self) -> bool {
        matches!(self.source, Source::Json(_) | Source::Regex(_))
    }

    pub fn needs_headers(&self) -> bool {
        !self.needs_body()
    }
}

/// Why a value is not there.
pub type Missing = (ErrorKind, String);

/// The values of a good response, by slot; or why one of them is not there.
pub fn capture(
    captures: &[Capture],
    answer: &Answer,
    content: &Content,
) -> Result<Vec<(usize, String)>, Missing> {
    captures.iter().map(|each| Ok((each.slot, each.take(answer, content)?))).collect()
}

impl Capture {
    fn take(&self, answer: &Answer, content: &Content) -> Result<String, Missing> {
        let body = || match content.bytes() {
            // That is the generator's fault, and no value's.
            Err(ErrorKind::Local) => Err((ErrorKind::Local, String::new())),
            Err(_) => Err(self.missing("the body cannot be decoded")),
            Ok(body) => Ok(body),
        };
        let found = match &self.source {
            Source::Json(pointer) => at_pointer(body()?, pointer),
            Source::Header(name) => answer
                .headers(name)
                .next()
                .map(Cow::into_owned)
                .ok_or_else(|| format!("no header {name}")),
            Source::Cookie(name) => answer
                .headers("set-cookie")
                .find_map(|line| cookie(&line, name))
                .ok_or_else(|| format!("no cookie {name}")),
            Source::Regex(pattern) => pattern
                .captures(body()?)
                .and_then(|found| found.get(1).or_else(|| found.get(0)))
                .map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned())
                .ok_or_else(|| format!("nothing matches {:?}", pattern.as_str())),
        };
        let found = found.and_then(|value| match value.len() {
            0 => Err("it is empty".to_owned()),
            1..=LONGEST => Ok(value),
            length => Err(too_long(length)),
        });
        found.map_err(|why| self.missing(&why))
    }

    fn missing(&self, why: &str) -> Missing {
        (ErrorKind::Capture, format!("no value for {{{}}}: {why}", self.name))
    }
}

fn too_long(length: usize) -> String {
    format!("it has {length} bytes")
}

fn at_pointer(body: &[u8], pointer: &str) -> Result<String, String> {
    let found = json::find(body, pointer).map_err(|_| "the body is not JSON")?;
    let text = found.ok_or_else(|| format!("nothing at {pointer:?}"))?;
    if text == "null" {
        return Err(format!("null at {pointer:?}"));
    }
    if !text.starts_with('"') {
        return json::compact(text).ok_or_else(|| too_long(text.len()));
    }
    if text.len() > json::LONGEST_ESCAPE * LONGEST + 2 {
        return Err(too_long(text.len()));
    }
    serde_json::from_str(text).map_err(|_| "the body is not JSON".into())
}

/// The value of a cookie that a Set-Cookie line gives (RFC 6265, 5.2).
fn cookie(line: &str, name: &str) -> Option<String> {
    let (key, value) = line.split(';').next()?.split_once('=')?;
    (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Coding;

    fn found(spec: &str, headers: &[(&str, &str)], body: &str) -> Result<String, String> {
        let spec: CaptureSpec = serde_json::from_str(spec).unwrap();
        let capture_of = Capture::compile("x", 3, &spec, "here").unwrap();
        let mut answer = Answer::keeping(capture_of.needs_headers());
        for (name, value) in headers {
            answer.note(name, value.as_bytes()).unwrap();
        }
        let content = Content::new(body.as_bytes(), Coding::Identity, 1 << 20);
        let found = capture(&[capture_of], &answer, &content);
        found.map_err(|(_, why)| why).map(|mut values| {
            let (slot, value) = values.remove(0);
            assert_eq!(slot, 3);
            value
        })
    }

    #[test]
    fn a_pointer_gives_texts_without_quotes_and_other_values_as_json() {
        let spec = r#"{"kind":"json","pointer":"/a/0"}"#;
        assert_eq!(found(spec, &[], r#"{"a":["t\n"]}"#).unwrap(), "t\n");
        assert_eq!(found(spec, &[], r#"{"a":[1.5]}"#).unwrap(), "1.5");
        assert_eq!(found(spec, &[], r#"{"a":[{"b":true}]}"#).unwrap(), r#"{"b":true}"#);
        for (body, why) in [
            (r#"{"a":[]}"#, r#"nothing at "/a/0""#),
            (r#"{"a":[null]}"#, r#"null at "/a/0""#),
            (r#"{"a":[""]}"#, "it is empty"),
            ("<html>", "the body is not JSON"),
            (r#"{"a":["\ud800"]}"#, "the body is not JSON"),
        ] {
            assert_eq!(found(spec, &[], body).unwrap_err(), format!("no value for {{x}}: {why}"));
        }
    }

    #[test]
    fn headers_and_cookies_are_found_by_name() {
        let headers = [
            ("Location", "/orders/7"),
            ("Set-Cookie", "theme=dark; Path=/"),
            ("set-cookie", "sid=\"a=b\"; HttpOnly"),
        ];
        let spec = r#"{"kind":"header","name":"location"}"#;
        assert_eq!(found(spec, &headers, "").unwrap(), "/orders/7");
        assert_eq!(found(r#"{"kind":"cookie","name":"sid"}"#, &headers, "").unwrap(), "a=b");
        let none = found(r#"{"kind":"cookie","name":"SID"}"#, &headers, "").unwrap_err();
        assert!(none.ends_with("no cookie SID"));
        assert!(found(spec, &headers[1..], "").unwrap_err().ends_with("no header location"));
    }

    #[test]
    fn a_pattern_gives_its_first_group_or_all_of_it() {
        let grouped = r#"{"kind":"regex","pattern":"csrf\" value=\"(\\w+)"}"#;
        let page = r#"<input name="csrf" value="äbc7">"#;
        assert_eq!(found(grouped, &[], page).unwrap(), "äbc7");
        assert_eq!(found(r#"{"kind":"regex","pattern":"n\\S+"}"#, &[], page).unwrap(), "nput");
        let none = found(r#"{"kind":"regex","pattern":"^x"}"#, &[], page).unwrap_err();
        assert!(none.ends_with(r#"nothing matches "^x""#), "{none}");
    }
}
