//! Texts with `{name}` in them, compiled once to literals and slots.

/// How a literal or a value enters the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Percent-encoded where a URL needs it.
    Url,
    /// Escaped where it stands within a JSON string, as it is elsewhere.
    Json,
    /// As it is, but values are percent-encoded, as a form has them.
    Form,
}

/// What text is appended to.
pub trait Sink {
    fn push_str(&mut self, text: &str);
    fn push_ascii(&mut self, byte: u8);
}

impl Sink for String {
    fn push_str(&mut self, text: &str) {
        self.push_str(text);
    }

    fn push_ascii(&mut self, byte: u8) {
        self.push(byte as char);
    }
}

impl Sink for Vec<u8> {
    fn push_str(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    fn push_ascii(&mut self, byte: u8) {
        self.push(byte);
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Slot(usize),
    /// Within a JSON string.
    Quoted(usize),
}

/// A compiled text. Slots index the values of the request that it belongs to.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    encoding: Encoding,
}

impl Template {
    /// Compiles `text`; `slot` gives the index of a name or says why it has none.
    pub fn compile(
        text: &str,
        encoding: Encoding,
        mut slot: impl FnMut(&str) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut quoted = false;
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..];
            if brace.starts_with("{{") || brace.starts_with("}}") {
                literal.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let name = brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .map(|(name, _)| name)
                .filter(|name| is_name(name))
                .ok_or_else(|| {
                    format!(
                        "a lone brace at {:?}; write {{name}} for a value, {{{{ or }}}} for a brace",
                        brace.chars().take(12).collect::<String>(),
                    )
                })?;
            if encoding == Encoding::Json {
                quoted = ends_quoted(&literal, quoted);
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            let slot = slot(name)?;
            pieces.push(if quoted { Piece::Quoted(slot) } else { Piece::Slot(slot) });
            rest = &brace[name.len() + 2..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        if encoding == Encoding::Url {
            for piece in &mut pieces {
                if let Piece::Literal(text) = piece {
                    *text = encode_literal(text);
                }
            }
        }
        Ok(Self { pieces, encoding })
    }

    /// The slots used, in order, each as often as it is used.
    pub fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(slot) | Piece::Quoted(slot) => Some(*slot),
            Piece::Literal(_) => None,
        })
    }

    /// The text itself when it has no slots.
    pub fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with `values` in its slots.
    pub fn render(&self, values: &[String], out: &mut impl Sink) {
        for piece in &self.pieces {
            match (piece, self.encoding) {
                (Piece::Literal(text), _) => out.push_str(text),
                (Piece::Quoted(slot), _) => escape(&values[*slot], out),
                (Piece::Slot(slot), Encoding::Plain | Encoding::Json) => {
                    out.push_str(&values[*slot]);
                }
                (Piece::Slot(slot), Encoding::Url | Encoding::Form) => {
                    encode(
                        &values[*slot],
                        |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
                        out,
                    );
                }
            }
        }
    }
}

/// Whether a JSON string is open at the end of `text`, where one was open at its begin or not.
fn ends_quoted(text: &str, mut open: bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => open = !open,
            b'\\' if open => drop(bytes.next()),
            _ => {}
        }
    }
    open
}

fn escape(text: &str, out: &mut impl Sink) {
    let plain = |c: char| c >= ' ' && c != '"' && c != '\\';
    if text.chars().all(plain) {
        out.push_str(text);
    } else if let Ok(written) = serde_json::to_string(text) {
        out.push_str(&written[1..written.len() - 1]);
    }
}

pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

/// The author's own text keeps its separators and escapes; only what no URL may hold is encoded.
fn encode_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, |byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte), &mut out);
    out
}

fn encode(text: &str, keep: impl Fn(u8) -> bool, out: &mut impl Sink) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if keep(byte) {
            out.push_ascii(byte);
        } else {
            out.push_ascii(b'%');
            out.push_ascii(HEX[usize::from(byte >> 4)]);
            out.push_ascii(HEX[usize::from(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, encoding: Encoding) -> Result<String, String> {
        let names = ["id", "name"];
        let template = Template::compile(text, encoding, |name| {
            names.iter().position(|n| *n == name).ok_or_else(|| format!("no feed {name}"))
        })?;
        let mut out = String::new();
        template.render(&["7".into(), "a b/é".into()], &mut out);
        Ok(out)
    }

    #[test]
    fn a_value_within_a_json_string_is_escaped_and_one_outside_is_not() {
        let text = r#"{{"a":"x \" {q}","b":{q},"{q}":1}}"#;
        let template = Template::compile(text, Encoding::Json, |_| Ok::<_, String>(0)).unwrap();
        let mut out = String::new();
        template.render(&["\"\n\\".into()], &mut out);
        assert_eq!(out, "{\"a\":\"x \\\" \\\"\\n\\\\\",\"b\":\"\n\\,\"\\\"\\n\\\\\":1}");
    }

    #[test]
    fn names_are_replaced_and_doubled_braces_are_literal() {
        assert_eq!(
            render(r#"{{"id": "{id}", "n": "{name}"}}"#, Encoding::Plain).unwrap(),
            r#"{"id": "7", "n": "a b/é"}"#,
        );
    }

    #[test]
    fn values_in_a_url_are_percent_encoded_and_its_own_separators_kept() {
        assert_eq!(
            render("/x y/{name}?q={id}&z=%20", Encoding::Url).unwrap(),
            "/x%20y/a%20b%2F%C3%A9?q=7&z=%20",
        );
    }

    #[test]
    fn a_lone_brace_or_an_unknown_name_is_refused() {
        for text in ["{", "}", "{id", "{}", "{a b}", "id}"] {
            assert!(render(text, Encoding::Plain).unwrap_err().contains("lone brace"), "{text}");
        }
        assert_eq!(render("{nope}", Encoding::Plain).unwrap_err(), "no feed nope");
    }
}
