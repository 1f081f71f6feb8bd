//! What a response must be to count as completed.

use crate::answer::Coding;
use crate::kind::Kind;
use crate::template::{Encoding, Template};
use serde::Deserialize;
use serde_json::{Number, Value};

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
    /// A text: equal to a JSON string, to a number of that value, or to what is written so.
    Text(Template),
    Exactly(Value),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Expected {
    fn compile(
        value: &Value,
        compile: &mut impl FnMut(&str, Encoding) -> Result<Template, String>,
    ) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(compile(text, Encoding::Plain)?),
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::compile(item, compile));
                Self::List(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut found = Vec::new();
                for (name, value) in fields {
                    found.push((name.clone(), Self::compile(value, compile)?));
                }
                Self::Object(found)
            }
            value => Self::Exactly(value.clone()),
        })
    }

    fn equals(&self, found: &Value, render: &mut impl FnMut(&Template) -> String) -> bool {
        match (self, found) {
            (Self::Text(template), Value::String(found)) => *found == render(template),
            (Self::Text(template), Value::Number(found)) => {
                serde_json::from_str(&render(template)).is_ok_and(|number| same(&number, found))
            }
            (Self::Text(template), found) => {
                let shown = found.to_string();
                shown == render(template)
            }
            (Self::Exactly(Value::Number(number)), Value::Number(found)) => same(number, found),
            (Self::Exactly(value), found) => value == found,
            (Self::List(items), Value::Array(found)) => {
                items.len() == found.len()
                    && items.iter().zip(found).all(|(item, found)| item.equals(found, render))
            }
            (Self::Object(fields), Value::Object(found)) => {
                fields.len() == found.len()
                    && fields.iter().all(|(name, value)| {
                        found.get(name).is_some_and(|found| value.equals(found, render))
                    })
            }
            _ => false,
        }
    }
}

/// JSON has one kind of number: 100, 100.0 and 1e2 are the same.
fn same(a: &Number, b: &Number) -> bool {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_f64() == b.as_f64(),
    }
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
                        Some(value) => Some(Expected::compile(value, compile)?),
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

/// The verdict on one response: `None` if it is good. Its body may have `limit` bytes once decoded.
pub fn judge(
    checks: &[Check],
    status: u16,
    (body, coding): (&[u8], Coding),
    limit: u64,
    values: &[String],
) -> Option<Kind> {
    let mut status_checked = false;
    for check in checks {
        if let Check::Status(allowed) = check {
            status_checked = true;
            if !allowed.contains(&status) {
                return Some(Kind::of_status(status).unwrap_or(Kind::Check));
            }
        }
    }
    if !status_checked && !(200..300).contains(&status) {
        return Some(Kind::of_status(status).unwrap_or(Kind::Protocol));
    }
    if !checks.iter().any(Check::needs_body) {
        return None;
    }
    let body = match coding.decode(body, limit) {
        Ok(body) => body,
        Err(kind) => return Some(kind),
    };
    let body = body.as_ref();
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
                (Some(found), Some(expected)) => expected.equals(found, &mut render),
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
        judge(&checks, status, (body.as_bytes(), Coding::Identity), 1 << 20, &["7".into()])
    }

    #[test]
    fn without_a_status_check_only_200_to_299_are_good() {
        assert_eq!(verdict("[]", 200, ""), None);
        assert_eq!(verdict("[]", 299, ""), None);
        assert_eq!(verdict("[]", 101, ""), Some(Kind::Protocol));
        assert_eq!(verdict("[]", 302, ""), Some(Kind::Status3xx));
        assert_eq!(verdict("[]", 429, ""), Some(Kind::Throttled));
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
    fn numbers_compare_as_numbers() {
        let total = |equals: &str, found: &str| {
            let checks = format!(r#"[{{"kind":"json","pointer":"/n","equals":{equals}}}]"#);
            verdict(&checks, 200, &format!(r#"{{"n":{found}}}"#)).is_none()
        };
        for equals in ["100", "100.0", "1e2", r#""100""#] {
            for found in ["100", "100.0", "1e2"] {
                assert!(total(equals, found), "{equals} {found}");
            }
        }
        assert!(total(r#""{id}""#, "7.0"));
        assert!(!total("9007199254740993", "9007199254740992"));
        assert!(!total("100", r#""100""#));
        assert!(!total(r#""07""#, "7"));
    }

    #[test]
    fn values_are_put_into_lists_and_objects_too() {
        let checks = r#"[{"kind":"json","pointer":"","equals":{"a":["{id}",1.0],"b":null}}]"#;
        assert_eq!(verdict(checks, 200, r#"{"b":null,"a":[7,1]}"#), None);
        assert_eq!(verdict(checks, 200, r#"{"b":null,"a":[8,1]}"#), Some(Kind::Check));
        assert_eq!(verdict(checks, 200, r#"{"b":null,"a":[7,1],"c":1}"#), Some(Kind::Check));
    }

    #[test]
    fn a_body_text_is_searched_with_its_values() {
        let checks = r#"[{"kind":"body_contains","text":"id={id};"}]"#;
        assert_eq!(verdict(checks, 200, "x id=7; y"), None);
        assert_eq!(verdict(checks, 200, "id=77"), Some(Kind::Check));
    }
}
