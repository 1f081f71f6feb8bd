//! What each address has answered.

use crate::cell::Outcome;
use crate::hist;
use hdrhistogram::Histogram;

/// What one address has answered since the start.
#[derive(Debug)]
pub struct Address {
    completed: u64,
    failed: u64,
    response: Histogram<u64>,
}

impl Default for Address {
    fn default() -> Self {
        Self { completed: 0, failed: 0, response: hist::fresh() }
    }
}

impl Address {
    pub fn end(&mut self, o: &Outcome) {
        if o.error.is_some() {
            self.failed += 1;
        } else {
            self.completed += 1;
            hist::record(&mut self.response, o.done.saturating_sub(o.due));
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        // Same precision and bounds that grow: adding cannot fail.
        let _ = self.response.add(&other.response);
    }

    /// As an object of JSON.
    pub fn document(&self, address: &str) -> Result<String, String> {
        let Self { completed, failed, response } = self;
        let response = hist::encode(response)?;
        let document = serde_json::json!({
            "address": address, "completed": completed, "failed": failed, "response": response,
        });
        Ok(document.to_string())
    }
}
