//! Bytes that are kept until a response is whole, bounded for all connections together.

use crate::error_kind::ErrorKind;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all responses on their way, in all threads: beyond it the generator is at its own limit,
/// whatever the response is like.
const MOST: usize = 256 << 20;
/// What is said of a response that found no room.
pub const FULL: &str = "the answers under way together are above the 256 MiB that the generator \
                        keeps of them; lower the rate, or check smaller answers";

static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// Bytes whose share of the whole is given back when they are dropped.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    charged: usize,
}

impl Kept {
    /// Fails with the kind `local` where all responses together are at the bound.
    pub fn extend(&mut self, more: &[u8]) -> Result<(), ErrorKind> {
        self.extend_within(more, &TOTAL, MOST)
    }

    fn extend_within(
        &mut self,
        more: &[u8],
        total: &AtomicUsize,
        most: usize,
    ) -> Result<(), ErrorKind> {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            // What is reserved counts, not what is used: a vector doubles. It counts beforehand.
            let room = needed.max(2 * self.bytes.capacity());
            let grown = room - self.charged;
            if total.fetch_add(grown, Ordering::Relaxed) + grown > most {
                self.bytes = Vec::new();
                total.fetch_sub(grown + std::mem::take(&mut self.charged), Ordering::Relaxed);
                return Err(ErrorKind::Local);
            }
            self.charged = room;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.charged, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_for_all_together_and_given_back() {
        static MINE: AtomicUsize = AtomicUsize::new(0);
        let mut all: Vec<Kept> = Vec::new();
        let refused = loop {
            let mut kept = Kept::default();
            match kept.extend_within(&[0; 1000], &MINE, 10_000) {
                Ok(()) => all.push(kept),
                Err(kind) => break kind,
            }
        };
        assert_eq!(refused, ErrorKind::Local);
        assert_eq!(all.len(), 10);
        assert_eq!(MINE.load(Ordering::Relaxed), 10_000);
        for kept in &mut all {
            assert_eq!(kept.len(), 1000);
            MINE.fetch_sub(std::mem::take(&mut kept.charged), Ordering::Relaxed);
        }
        let mut last = Kept::default();
        assert!(last.extend_within(&[0; 1000], &MINE, 10_000).is_ok());
        last.charged = 0; // it was charged to the test's own total
    }

    #[test]
    fn what_a_growing_body_reserves_is_what_is_charged() {
        static MINE: AtomicUsize = AtomicUsize::new(0);
        let mut kept = Kept::default();
        for _ in 0..300 {
            assert!(kept.extend_within(&[7; 33], &MINE, 1 << 20).is_ok());
            assert_eq!(MINE.load(Ordering::Relaxed), kept.bytes.capacity());
        }
        assert_eq!(kept.extend_within(&[7; 1 << 20], &MINE, 1 << 20), Err(ErrorKind::Local));
        assert_eq!((kept.len(), MINE.load(Ordering::Relaxed)), (0, 0));
    }
}
