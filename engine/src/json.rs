//! JSON read where it stands: the value at a pointer (RFC 6901) is found without building what is
//! around it, so that a document of 16 MiB takes no memory of its own.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Bytes of a text that is built as a value: up to fifty times as much memory.
pub const MOST_BUILT: usize = 1 << 20;
/// A character of a JSON string is written in at most so many bytes (`\u0041`).
pub const LONGEST_ESCAPE: usize = 6;

/// The text of the value at `pointer`; `None` where there is none. Of two fields of one name the
/// last counts. Fails for a body that is no JSON in UTF-8; what is not on the way to the value is
/// held to JSON's grammar only, so that a number may be out of range there.
pub fn find<'a>(body: &'a [u8], pointer: &str) -> Result<Option<&'a str>, serde_json::Error> {
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let path: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(unescaped).collect();
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Seek(&path).deserialize(&mut reader)?;
    reader.end()?;
    let leads_nowhere = !(pointer.is_empty() || pointer.starts_with('/'));
    Ok(found.map(RawValue::get).filter(|_| !leads_nowhere))
}

fn unescaped(part: &str) -> Cow<'_, str> {
    match part.contains('~') {
        true => part.replace("~1", "/").replace("~0", "~").into(),
        false => part.into(),
    }
}

/// A value as JSON writes it, without spaces; `None` of one that is too long to be built.
pub fn compact(text: &str) -> Option<String> {
    if text.len() > MOST_BUILT {
        return None;
    }
    serde_json::from_str::<Value>(text).ok().map(|value| value.to_string())
}

struct Seek<'p>(&'p [Cow<'p, str>]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            Deserialize::deserialize(reader).map(Some)
        } else {
            reader.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(mine) = map.next_key_seed(Is(&self.0[0]))? {
            if mine {
                found = map.next_value_seed(Seek(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let text = &self.0[0];
        let plain = text == "0" || !text.starts_with(['0', '+']);
        let wanted = text.parse::<usize>().ok().filter(|_| plain);
        let (mut found, mut at) = (None, 0);
        loop {
            if Some(at) == wanted {
                match items.next_element_seed(Seek(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => return Ok(None),
                }
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a key is this one.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::rng::{Rng, purpose};
    use std::fmt::Write as _;

    const DRAWN: u64 = purpose("documents of JSON");
    const NAMES: [&str; 9] = ["a", "b", "", "0", "1", "a/b", "~", "é\n", "x y"];
    const SCALARS: [&str; 14] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "100",
        "100.0",
        "1e2",
        "-0.5",
        "9007199254740993",
        r#""""#,
        r#""\u00e9\n\/\ud83d\ude00""#,
        r#""7""#,
    ];

    /// A random document, with duplicate fields, escapes in names and spaces.
    pub fn document(rng: &mut Rng, depth: u32, out: &mut String) {
        let space = |rng: &mut Rng, out: &mut String| {
            out.push_str(["", "", " ", "\n\t"][rng.below(4) as usize]);
        };
        space(rng, out);
        let kind = if depth == 0 { 0 } else { rng.below(6) };
        let length = rng.below(6);
        if kind < 2 {
            out.push_str(SCALARS[rng.below(SCALARS.len() as u64) as usize]);
            return space(rng, out);
        }
        out.push(if kind < 4 { '{' } else { '[' });
        for i in 0..length {
            if i > 0 {
                out.push(',');
            }
            space(rng, out);
            if kind < 4 {
                name(rng, out);
                space(rng, out);
                out.push(':');
            }
            document(rng, depth - 1, out);
        }
        if length == 0 {
            space(rng, out);
        }
        out.push(if kind < 4 { '}' } else { ']' });
        space(rng, out);
    }

    /// A field's name, some of its characters escaped.
    fn name(rng: &mut Rng, out: &mut String) {
        out.push('"');
        for character in NAMES[rng.below(NAMES.len() as u64) as usize].chars() {
            if character < ' ' || rng.below(3) == 0 {
                let _ = write!(out, "\\u{:04x}", character as u32);
            } else {
                out.push(character);
            }
        }
        out.push('"');
    }

    fn pointer(rng: &mut Rng) -> String {
        let parts =
            ["a", "b", "0", "1", "", "2", "a~1b", "~0", "é\n", "x y", "00", "+1", "-", "01"];
        // Half of them of names that most documents have.
        let among = [4, parts.len() as u64][rng.below(2) as usize];
        (0..rng.below(4)).map(|_| format!("/{}", parts[rng.below(among) as usize])).collect()
    }

    #[test]
    fn what_is_found_is_what_the_whole_document_has_there() {
        let mut hits = 0;
        for seed in 0..10_000 {
            let mut rng = Rng::at(seed, DRAWN, 0);
            let mut text = String::new();
            document(&mut rng, 4, &mut text);
            let built: Value = serde_json::from_str(&text).unwrap();
            for _ in 0..4 {
                let pointer = pointer(&mut rng);
                let found = find(text.as_bytes(), &pointer).unwrap();
                let found = found.map(|text| serde_json::from_str::<Value>(text).unwrap());
                assert_eq!(found.as_ref(), built.pointer(&pointer), "{pointer:?} of {text}");
                hits += u64::from(found.is_some() && !pointer.is_empty());
            }
        }
        assert!(hits > 1_500, "{hits}");
    }

    #[test]
    fn what_is_no_json_to_its_end_is_refused_wherever_the_value_stands() {
        let bad = ["", "x", r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a":1,"b":}"#, r#"{"a":1,"b":"\q"}"#];
        for body in bad {
            assert!(find(body.as_bytes(), "/a").is_err(), "{body}");
            assert!(find(body.as_bytes(), "").is_err(), "{body}");
        }
        assert!(find(b"{\"a\":1,\"b\":\"\xff\"}", "/a").is_err());
        assert_eq!(find(b"{\"a\":1}", "a").unwrap(), None);
    }

    #[test]
    fn a_document_cut_anywhere_is_refused_as_the_whole_reader_refuses_it() {
        for seed in 0..300 {
            let mut rng = Rng::at(seed, DRAWN, 1);
            let mut text = String::new();
            document(&mut rng, 4, &mut text);
            let bytes = text.as_bytes();
            for end in 0..bytes.len() {
                let whole = serde_json::from_slice::<Value>(&bytes[..end]).is_ok();
                assert_eq!(find(&bytes[..end], "/a").is_ok(), whole, "{:?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn what_is_passed_over_may_be_nested_without_end() {
        let deep = format!(r#"{{"b":{}{},"a":1}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(find(deep.as_bytes(), "/a").unwrap(), Some("1"));
        let way = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        assert!(find(way.as_bytes(), &"/0".repeat(1 << 16)).is_err());
    }
}
