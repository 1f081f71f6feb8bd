//! HdrHistograms: nanoseconds, three significant digits, 100 ns to one hour, grown as needed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use hdrhistogram::{Counter, Histogram};
use std::io::{Read, Write};

pub const LOW: u64 = 100;
pub const HIGH: u64 = 3_600_000_000_000;
pub const DIGITS: u8 = 3;

/// Where the V2 payload keeps its highest trackable value.
const HIGH_AT: std::ops::Range<usize> = 24..32;
const COMPRESSED_COOKIE: u32 = 0x1C84_9304 | 0x10;
/// A payload of the widest histogram of 64-bit counts is far below this.
const MAX_PAYLOAD: u64 = 1 << 22;

/// An empty histogram that begins small (1 ms) and grows to `HIGH`.
pub fn fresh<T: Counter>() -> Histogram<T> {
    let mut histogram = Histogram::new_with_bounds(LOW, 1_000_000, DIGITS)
        .unwrap_or_else(|_| unreachable!("the bounds are constants"));
    histogram.auto(true);
    histogram
}

/// Records one value; returns whether it had to be clipped to `HIGH`.
pub fn record<T: Counter>(histogram: &mut Histogram<T>, value: u64) -> bool {
    record_n(histogram, value, T::one())
}

/// Records a value several times; returns whether it had to be clipped to `HIGH`.
pub fn record_n<T: Counter>(histogram: &mut Histogram<T>, value: u64, count: T) -> bool {
    // An auto-resizing histogram takes every value up to HIGH.
    let _ = histogram.record_n(value.min(HIGH), count);
    value > HIGH
}

/// HdrHistogram V2, compressed, base64. The bounds written are the nominal ones, so that every
/// decoder can add any two.
pub fn encode<T: Counter>(histogram: &Histogram<T>) -> Result<String, String> {
    let mut payload = Vec::new();
    V2Serializer::new()
        .serialize(histogram, &mut payload)
        .map_err(|error| format!("histogram: {error:?}"))?;
    let beyond = histogram.lowest_equivalent(histogram.max()) > HIGH;
    let high = if beyond { histogram.high() } else { HIGH };
    payload[HIGH_AT].copy_from_slice(&high.to_be_bytes());
    let mut out = Vec::with_capacity(payload.len() / 2);
    out.extend_from_slice(&COMPRESSED_COOKIE.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    let mut zip = ZlibEncoder::new(out, Compression::fast());
    zip.write_all(&payload).map_err(|error| error.to_string())?;
    let mut out = zip.finish().map_err(|error| error.to_string())?;
    let length = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&length.to_be_bytes());
    Ok(STANDARD.encode(out))
}

/// Reads what `encode` wrote, or any other V2 histogram.
pub fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bad =
        |problem: &str| format!("not a histogram (HdrHistogram V2, compressed, base64): {problem}");
    let bytes = STANDARD.decode(text.trim()).map_err(|error| bad(&error.to_string()))?;
    let (head, body) = bytes.split_at_checked(8).ok_or_else(|| bad("too short"))?;
    if head[..4] != COMPRESSED_COOKIE.to_be_bytes() {
        return Err(bad("its first bytes are another format's"));
    }
    let mut payload = Vec::new();
    ZlibDecoder::new(body)
        .take(MAX_PAYLOAD)
        .read_to_end(&mut payload)
        .map_err(|error| bad(&error.to_string()))?;
    // Bounds far beyond any use would be an allocation bomb.
    let field = |at: usize| {
        payload.get(at..at + 8).map(|b| b.iter().fold(0u64, |v, x| v << 8 | u64::from(*x)))
    };
    if payload.get(12..16).is_none_or(|d| d[..3] != [0; 3] || d[3] > 5)
        || field(HIGH_AT.start).is_none_or(|high| high > 1 << 50)
    {
        return Err(bad("its bounds are out of range"));
    }
    let mut histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut payload.as_slice())
        .map_err(|error| bad(&format!("{error:?}")))?;
    histogram.auto(true);
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut histogram: Histogram<u32> = fresh();
        for value in [0, 50, 1_000, 123_456, 1_000_000_000, HIGH] {
            assert!(!record(&mut histogram, value));
        }
        assert!(record(&mut histogram, u64::MAX));
        let copy = decode(&encode(&histogram).unwrap()).unwrap();
        assert_eq!(copy.len(), 7);
        assert_eq!(copy.high(), HIGH);
        for quantile in [0.0, 0.25, 0.5, 0.75, 1.0] {
            assert_eq!(copy.value_at_quantile(quantile), histogram.value_at_quantile(quantile));
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for text in [
            "",
            "AAAA",
            "HISTFAAAA",
            "!!",
            &STANDARD.encode([0x1C, 0x84, 0x93, 0x14, 0, 0, 0, 9, 1, 2]),
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
