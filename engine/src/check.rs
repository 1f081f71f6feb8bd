//! What a response must be to count as completed.

use crate::answer::Content;
use crate::document::CheckSpec;
use crate::error_kind::ErrorKind;
use crate::json;
use crate::template::{Encoding, Template};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use serde_json::{Number, Value};
use std::fmt;

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

    /// Whether the JSON value that `found` writes is this one. It is read where it stands.
    fn equals(&self, found: &str, values: &[String]) -> bool {
        let mut reader = serde_json::Deserializer::from_str(found);
        Comparison { expected: self, values }.deserialize(&mut reader).unwrap_or(false)
    }
}

/// Whether the text of a JSON value says what `wanted` does.
fn says(found: &str, wanted: &str) -> bool {
    match found.as_bytes() {
        [b'"', ..] => {
            found.len() <= json::LONGEST_ESCAPE * wanted.len() + 2
                && serde_json::from_str::<String>(found).is_ok_and(|text| text == wanted)
        }
        [b'-' | b'0'..=b'9', ..] => {
            let number = |text| serde_json::from_str::<Number>(text).ok();
            number(found).zip(number(wanted)).is_some_and(|(found, wanted)| same(&found, &wanted))
        }
        [b'{' | b'[', ..] => json::compact(found).is_some_and(|text| text == wanted),
        _ => found == wanted,
    }
}

/// Compares a value with the expected one while it is read.
#[derive(Clone, Copy)]
struct Comparison<'a> {
    expected: &'a Expected,
    values: &'a [String],
}

impl Comparison<'_> {
    fn number<E>(self, found: impl Into<Number>) -> Result<bool, E> {
        let found = found.into();
        Ok(
            matches!(self.expected, Expected::Exactly(Value::Number(wanted)) if same(wanted, &found)),
        )
    }
}

impl<'de> DeserializeSeed<'de> for Comparison<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        let Expected::Text(template) = self.expected else { return reader.deserialize_any(self) };
        let found = <&RawValue>::deserialize(reader)?;
        Ok(says(found.get(), &rendered(template, self.values)))
    }
}

impl<'de> Visitor<'de> for Comparison<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(matches!(self.expected, Expected::Exactly(Value::Null)))
    }

    fn visit_bool<E>(self, found: bool) -> Result<bool, E> {
        Ok(matches!(self.expected, Expected::Exactly(Value::Bool(wanted)) if *wanted == found))
    }

    fn visit_u64<E>(self, found: u64) -> Result<bool, E> {
        self.number(found)
    }

    fn visit_i64<E>(self, found: i64) -> Result<bool, E> {
        self.number(found)
    }

    fn visit_f64<E>(self, found: f64) -> Result<bool, E> {
        Number::from_f64(found).map_or(Ok(false), |found| self.number(found))
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let list = if let Expected::List(list) = self.expected { Some(list) } else { None };
        let mut good = list.is_some();
        for expected in list.into_iter().flatten() {
            match items.next_element_seed(Self { expected, ..self })? {
                Some(equal) => good &= equal,
                None => return Ok(false),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            good = false;
        }
        Ok(good)
    }

    /// Of two fields of one name the last counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let object = if let Expected::Object(fields) = self.expected { &fields[..] } else { &[] };
        let mut equal = vec![None; object.len()];
        let mut good = matches!(self.expected, Expected::Object(_));
        while let Some(name) = map.next_key::<String>()? {
            match object.iter().position(|(known, _)| *known == name) {
                Some(at) => {
                    let expected = &object[at].1;
                    equal[at] = Some(map.next_value_seed(Self { expected, ..self })?);
                }
                None => {
                    good = false;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(good && equal.into_iter().all(|equal| equal == Some(true)))
    }
}

fn rendered(template: &Template, values: &[String]) -> String {
    let mut text = String::new();
    template.render(values, &mut text);
    text
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

/// The verdict on one response: `None` if it is good.
pub fn judge(
    checks: &[Check],
    status: u16,
    content: &Content,
    values: &[String],
) -> Option<ErrorKind> {
    let mut status_checked = false;
    for check in checks {
        if let Check::Status(allowed) = check {
            status_checked = true;
            if !allowed.contains(&status) {
                return Some(ErrorKind::of_status(status).unwrap_or(ErrorKind::Check));
            }
        }
    }
    if !status_checked && !(200..300).contains(&status) {
        return Some(ErrorKind::of_status(status).unwrap_or(ErrorKind::Protocol));
    }
    if !checks.iter().any(Check::needs_body) {
        return None;
    }
    let body = match content.bytes() {
        Ok(body) => body,
        Err(kind) => return Some(kind),
    };
    let good = checks.iter().all(|check| match check {
        Check::Status(_) => true,
        Check::BodyContains(template) => contains(body, rendered(template, values).as_bytes()),
        Check::Json { pointer, equals } => {
            let found = json::find(body, &rendered(pointer, values)).ok().flatten();
            match (found, equals) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some(expected)) => expected.equals(found, values),
            }
        }
    });
    if good { None } else { Some(ErrorKind::Check) }
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || body.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Coding;
    use crate::json::tests::document;
    use crate::rng::{Rng, purpose};

    fn verdict(checks: &str, status: u16, body: &str) -> Option<ErrorKind> {
        let specs: Vec<CheckSpec> = serde_json::from_str(checks).unwrap();
        let mut compile =
            |text: &str, encoding| Template::compile(text, encoding, |_| Ok::<_, String>(0));
        let checks: Vec<Check> =
            specs.iter().map(|spec| Check::compile(spec, &mut compile).unwrap()).collect();
        let content = Content::new(body.as_bytes(), Coding::Identity, 1 << 20);
        judge(&checks, status, &content, &["7".into()])
    }

    #[test]
    fn without_a_status_check_only_200_to_299_are_good() {
        assert_eq!(verdict("[]", 200, ""), None);
        assert_eq!(verdict("[]", 299, ""), None);
        assert_eq!(verdict("[]", 101, ""), Some(ErrorKind::Protocol));
        assert_eq!(verdict("[]", 302, ""), Some(ErrorKind::Status3xx));
        assert_eq!(verdict("[]", 429, ""), Some(ErrorKind::Throttled));
        assert_eq!(verdict("[]", 404, ""), Some(ErrorKind::Status4xx));
        assert_eq!(verdict("[]", 503, ""), Some(ErrorKind::Status5xx));
    }

    #[test]
    fn a_status_check_replaces_the_rule() {
        let checks = r#"[{"kind":"status","in":[201,404]}]"#;
        assert_eq!(verdict(checks, 404, ""), None);
        assert_eq!(verdict(checks, 301, ""), Some(ErrorKind::Status3xx));
        assert_eq!(verdict(checks, 200, ""), Some(ErrorKind::Check));
    }

    #[test]
    fn pointers_compare_texts_and_values() {
        let text = r#"[{"kind":"json","pointer":"/a/0/id","equals":"{id}"}]"#;
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":"7"}]}"#), None);
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":7}]}"#), None);
        assert_eq!(verdict(text, 200, r#"{"a":[{"id":8}]}"#), Some(ErrorKind::Check));
        assert_eq!(verdict(text, 200, "not json"), Some(ErrorKind::Check));
        let null = r#"[{"kind":"json","pointer":"/x","equals":null}]"#;
        assert_eq!(verdict(null, 200, r#"{"x":null}"#), None);
        assert_eq!(verdict(null, 200, r#"{"x":1}"#), Some(ErrorKind::Check));
        assert_eq!(
            verdict(r#"[{"kind":"json","pointer":"/x"}]"#, 200, "{}"),
            Some(ErrorKind::Check)
        );
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
        assert_eq!(verdict(checks, 200, r#"{"b":null,"a":[8,1]}"#), Some(ErrorKind::Check));
        assert_eq!(verdict(checks, 200, r#"{"b":null,"a":[7,1],"c":1}"#), Some(ErrorKind::Check));
    }

    #[test]
    fn of_two_fields_the_last_is_compared() {
        let checks = r#"[{"kind":"json","pointer":"","equals":{"a":[true]}}]"#;
        assert_eq!(verdict(checks, 200, r#"{"a":{"x":[1]},"a":[true]}"#), None);
        assert_eq!(verdict(checks, 200, r#"{"a":[true],"a":[true,1]}"#), Some(ErrorKind::Check));
        let text = r#"[{"kind":"json","pointer":"/a","equals":"[true,{{}}]"}]"#;
        assert_eq!(verdict(text, 200, r#"{"a": [ true , { } ] }"#), None);
    }

    const DRAWN: u64 = purpose("compared documents");

    /// What is compared while it is read is compared as whole values would be.
    #[test]
    fn a_document_equals_what_it_is_built_to_and_no_other() {
        fn text(value: &Value) -> Expected {
            let mut plain = |text: &str, encoding| {
                let escaped = text.replace('{', "{{").replace('}', "}}");
                Template::compile(&escaped, encoding, |_| Ok::<_, String>(0))
            };
            Expected::compile(value, &mut plain).unwrap()
        }
        let drawn = |seed, k| {
            let mut out = String::new();
            document(&mut Rng::at(seed, DRAWN, k), 3, &mut out);
            out
        };
        let mut equal = 0;
        for seed in 0..5_000 {
            let (one, other) = (drawn(seed, 0), drawn(seed, 1));
            let built = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert!(text(&built(&one)).equals(one.trim(), &[]), "{one}");
            // Texts say numbers too: only documents without any are told apart as values are.
            if !one.contains('"') {
                let same = text(&built(&one)).equals(other.trim(), &[]);
                let [a, b] = [&one, &other].map(|text| floats(built(text)));
                assert_eq!(same, a == b, "{one} and {other}");
                equal += u64::from(same);
            }
        }
        assert!(equal > 20, "{equal}");
    }

    /// Every number as the float that it is: 100 and 1e2 are the same.
    fn floats(value: Value) -> Value {
        match value {
            Value::Number(number) if number.as_i128().is_none() => {
                let float = number.as_f64().unwrap();
                if float.fract() == 0.0 { Value::from(float as i64) } else { Value::from(float) }
            }
            Value::Array(items) => items.into_iter().map(floats).collect(),
            Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, floats(v))).collect(),
            other => other,
        }
    }

    #[test]
    fn a_body_text_is_searched_with_its_values() {
        let checks = r#"[{"kind":"body_contains","text":"id={id};"}]"#;
        assert_eq!(verdict(checks, 200, "x id=7; y"), None);
        assert_eq!(verdict(checks, 200, "id=77"), Some(ErrorKind::Check));
    }
}
