//! What a response must be to count as completed.

use crate::kind::Kind;
use crate::template::{Encoding, Template};
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CheckSpec {
    Status {
        r#in: Vec<u16>,
    },
    BodyContains {
        text: String,
    },
    Json {
        pointer: String,
        /// Absent: the pointer must lead to something. Present (null too): to this.
        #[serde(default, deserialize_with = "present")]
        equals: Option<Value>,
    },
}

fn present<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(reader).map(Some)
}

#[derive(Debug)]
pub enum Check {
    Status(Vec<u16>),
    BodyContains(Template),
    Json { pointer: Template, equals: Option<Expected> },
}

#[derive(Debug)]
pub enum Expected {
    /// A text: equal to a JSON string, or to the written form of a number or truth value.
    Text(Template),
    Exactly(Value),
}

impl Check {
    pub fn compile(
        spec: &CheckSpec,
        compile: &mut impl FnMut(&str, Encoding) -> Result<Template, String>,
    ) -> Result<Self, String> {
        Ok(match spec {
            CheckSpec::Status { r#in } if r#in.is_empty() => {
                return Err("no status is allowed; list at least one in \"in\"".into());
            }
            CheckSpec::Status { r#in } => match r#in.iter().find(|s| !(100..1000).contains(*s)) {
                Some(bad) => return Err(format!("{bad} is not a status; give 100 to 999")),
                None => Self::Status(r#in.clone()),
            },
            CheckSpec::BodyContains { text } => Self::BodyContains(compile(text, Encoding::Plain)?),
            CheckSpec::Json { pointer, equals } => {
                if !(pointer.is_empty() || pointer.starts_with('/')) {
                    return Err(format!(
                        "the pointer {pointer:?} does not begin with a slash (RFC 6901)"
                    ));
                }
                Self::Json {
                    pointer: compile(pointer, Encoding::Plain)?,
                    equals: match equals {
                        None => None,
                        Some(Value::String(text)) => {
                            Some(Expected::Text(compile(text, Encoding::Plain)?))
                        }
                        Some(value) => Some(Expected::Exactly(value.clone())),
                    },
                }
            }
        })
    }

    /// Whether the body has to be kept to decide.
    pub fn needs_body(&self) -> bool {
        !matches!(self, Self::Status(_))
    }
}

/// The verdict on one response: `None` if it is good.
pub fn judge(checks: &[Check], status: u16, body: &[u8], values: &[String]) -> Option<Kind> {
    let mut status_checked = false;
    for check in checks {
        if let Check::Status(allowed) = check {
            status_checked = true;
            if !allowed.contains(&status) {
                return Some(Kind::of_status(status).unwrap_or(Kind::Check));
            }
        }
    }
    if !status_checked && status >= 400 {
        return Kind::of_status(status);
    }
    let mut document: Option<Option<Value>> = None;
    let mut text = String::new();
    let mut render = |template: &Template| {
        text.clear();
        template.render(values, &mut text);
        text.clone()
    };
    let good = checks.iter().all(|check| match check {
        Check::Status(_) => true,
        Check::BodyContains(template) => contains(body, render(template).as_bytes()),
        Check::Json { pointer, equals } => {
            let document = document.get_or_insert_with(|| serde_json::from_slice(body).ok());
            let found = document.as_ref().and_then(|value| value.pointer(&render(pointer)));
            match (found, equals) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some(Expected::Exactly(value))) => found == value,
                (Some(Value::String(found)), Some(Expected::Text(template))) => {
                    *found == render(template)
                }
                (Some(found), Some(Expected::Text(template))) => {
                    let written = found.to_string();
                    written == render(template)
                }
            }
        }
    });
    if good { None } else { Some(Kind::Check) }
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || body.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(checks: &str, status: u16, body: &str) -> Option<Kind> {
        let specs: Vec<CheckSpec> = serde_json::from_str(checks).unwrap();
        let mut compile =
            |text: &str, encoding| Template::compile(text, encoding, |_| Ok::<_, String>(0));
        let checks: Vec<Check> =
            specs.iter().map(|spec| Check::compile(spec, &mut compile).unwrap()).collect();
        judge(&checks, status, body.as_bytes(), &["7".into()])
    }

    #[test]
    fn without_a_status_check_400_and_above_fail() {
        assert_eq!(verdict("[]", 302, ""), None);
        assert_eq!(verdict("[]", 404, ""), Some(Kind::Status4xx));
        assert_eq!(verdict("[]", 503, ""), Some(Kind::Status5xx));
    }

    #[test]
    fn a_status_check_replaces_the_rule() {
        let checks = r#"[{"kind":"status","in":[201,404]}]"#;
        assert_eq!(verdict(checks, 404, ""), None);
        assert_eq!(verdict(checks, 301, ""), Some(Kind::Status3xx));
        assert_eq!(verdict(checks, 200, ""), Some(Kind::Check));
    }

    #[test]
    fn pointers_compare_texts_and_values() {
        let text = r#"[{"kind":"json","pointer":"/a/0/id","equals":"{id}"}]"#;
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":"7"}]}"#), None);
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":7}]}"#), None);
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":8}]}"#), Some(Kind::Check));
        assert_eq!(verdict(text, 200, "not json"), Some(Kind::Check));
        let null = r#"[{"kind":"json","pointer":"/x","equals":null}]"#;
        assert_eq!(verdict(null, 200, r#"{"x":null}"#), None);
        assert_eq!(verdict(null, 200, r#"{"x":1}"#), Some(Kind::Check));
        assert_eq!(verdict(r#"[{"kind":"json","pointer":"/x"}]"#, 200, "{}"), Some(Kind::Check));
    }

    #[test]
    fn a_body_text_is_searched_with_its_values() {
        let checks = r#"[{"kind":"body_contains","text":"id={id};"}]"#;
        assert_eq!(verdict(checks, 200, "x id=7; y"), None);
        assert_eq!(verdict(checks, 200, "id=77"), Some(Kind::Check));
    }
}
