//! The body of a request: templates, and bytes that are no text.

use crate::document::{BodySpec, PartSpec};
use crate::template::{Encoding, Template};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug)]
pub struct Body(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(Template),
    Bytes(Vec<u8>),
}

impl Body {
    pub fn compile(
        spec: &BodySpec,
        encoding: Encoding,
        compile: &mut impl FnMut(&str, Encoding) -> Result<Template, String>,
    ) -> Result<Self, String> {
        let parts = match spec {
            BodySpec::Text(text) => vec![Part::Text(compile(text, encoding)?)],
            BodySpec::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    PartSpec::Text(text) => compile(text, encoding).map(Part::Text),
                    PartSpec::Bytes(bytes) => STANDARD
                        .decode(&bytes.base64)
                        .map(Part::Bytes)
                        .map_err(|error| format!("base64: {error}")),
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Self(parts))
    }

    /// Whether it is the same each time.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| match part {
            Part::Text(template) => template.fixed().is_some(),
            Part::Bytes(_) => true,
        })
    }

    /// Appends it with `values` in its slots.
    pub fn render(&self, values: &[String], out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(template) => template.render(values, out),
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
            }
        }
    }
}
