//! The plan as JSON writes it, before it is checked.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub salt: u64,
    #[serde(default)]
    pub shard: u64,
    #[serde(default = "one")]
    pub shards: u64,
    #[serde(default = "one")]
    pub threads: u64,
    pub arrivals: Arrivals,
    #[serde(default)]
    pub start_unix_ns: u64,
    pub targets: Vec<String>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub http2: bool,
    #[serde(default = "default_connections")]
    pub connections_per_target: usize,
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_s: f64,
    #[serde(default)]
    pub tls: TlsSpec,
    #[serde(default = "default_in_flight")]
    pub max_in_flight: u64,
    #[serde(default = "default_drain")]
    pub drain_s: f64,
    #[serde(default = "default_body")]
    pub max_body_bytes: u64,
    #[serde(default)]
    pub bind: Option<String>,
    #[serde(default)]
    pub resolve: Vec<String>,
    #[serde(default)]
    pub unix_socket: Option<String>,
    #[serde(default)]
    pub proxy: Option<String>,
    #[serde(default)]
    pub connection_life: LifeSpec,
    #[serde(default)]
    pub pacing: PacingSpec,
    #[serde(default)]
    pub requests: Vec<RequestSpec>,
    #[serde(default)]
    pub chains: Vec<ChainSpec>,
    #[serde(default)]
    pub journeys: Vec<JourneySpec>,
    #[serde(default)]
    pub feeds: BTreeMap<String, FeedSpec>,
}

fn one() -> u64 {
    1
}
fn unit_weight() -> f64 {
    1.0
}
fn default_connections() -> usize {
    64
}
fn default_connect_timeout() -> f64 {
    5.0
}
fn default_in_flight() -> u64 {
    20_000
}
fn default_drain() -> f64 {
    10.0
}
fn default_timeout() -> f64 {
    10.0
}
fn default_silence() -> f64 {
    30.0
}
fn default_body() -> u64 {
    16 << 20
}
fn default_true() -> bool {
    true
}
fn default_step() -> i64 {
    1
}
fn default_method() -> String {
    "GET".into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spacing {
    Constant,
    Poisson,
}

/// A stretch of linearly changing rate (requests/s).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub duration_s: f64,
    pub from_rate: f64,
    pub to_rate: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Arrivals {
    Profile {
        spacing: Spacing,
        segments: Vec<Segment>,
    },
    Replay {
        due_ns: Vec<u64>,
        /// The request of each arrival by its place in the plan; empty: drawn from the mix.
        #[serde(default)]
        requests: Vec<u32>,
    },
    Closed {
        users: u64,
        duration_s: f64,
        #[serde(default)]
        think_s: f64,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSpec {
    #[serde(default)]
    pub ca_file: Option<String>,
    #[serde(default = "default_true")]
    pub verify: bool,
    #[serde(default)]
    pub server_name: Option<String>,
    /// Who we are, for servers that ask: a chain and its key, which may be in one file.
    #[serde(default)]
    pub cert_file: Option<String>,
    #[serde(default)]
    pub key_file: Option<String>,
}

/// How long a connection is used.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifeSpec {
    pub requests: Option<u64>,
    pub age_s: Option<f64>,
}

impl Default for TlsSpec {
    fn default() -> Self {
        Self { ca_file: None, verify: true, server_name: None, cert_file: None, key_file: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    pub name: String,
    #[serde(default = "unit_weight")]
    pub weight: f64,
    #[serde(default = "default_method")]
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    #[serde(default)]
    pub body: Option<BodySpec>,
    #[serde(default = "default_timeout")]
    pub timeout_s: f64,
    #[serde(default)]
    pub log: bool,
    #[serde(default)]
    pub first_byte: bool,
    #[serde(default)]
    pub checks: Vec<CheckSpec>,
    /// Of a step of a chain: values for the steps after it.
    #[serde(default)]
    pub capture: BTreeMap<String, CaptureSpec>,
    /// Of a step of a chain but its first: how long after the answer before it is due.
    #[serde(default)]
    pub think_s: f64,
    #[serde(default)]
    pub stream: Option<StreamSpec>,
}

/// What an answer must be.
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

fn present<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(reader).map(Some)
}

/// Where a value of an answer stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CaptureSpec {
    Json { pointer: String },
    Header { name: String },
    Cookie { name: String },
    Regex { pattern: String },
}

/// That the answer is a stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    #[serde(default = "default_silence")]
    pub silence_s: f64,
    #[serde(default)]
    pub until: Option<String>,
    #[serde(default)]
    pub limits: Option<LimitsSpec>,
}

/// What a stream must keep to count as good.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSpec {
    pub ttft_s: Option<f64>,
    pub itl_s: Option<f64>,
    pub response_s: Option<f64>,
}

/// A body: a text, or texts and bytes one after another.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum BodySpec {
    Text(String),
    Parts(Vec<PartSpec>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PartSpec {
    Text(String),
    Bytes(BytesSpec),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BytesSpec {
    pub base64: String,
}

/// Requests one after another, each with what those before it were answered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    pub name: String,
    #[serde(default = "unit_weight")]
    pub weight: f64,
    pub steps: Vec<RequestSpec>,
}

/// How the pacer trades processor time for punctuality.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacingSpec {
    pub slack_s: f64,
    pub spin_s: f64,
}

impl Default for PacingSpec {
    fn default() -> Self {
        Self { slack_s: 0.0, spin_s: 5e-6 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JourneySpec {
    pub name: String,
    #[serde(default = "unit_weight")]
    pub weight: f64,
}

/// A value as JSON writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Bool(bool),
    Number(serde_json::Number),
}

impl Scalar {
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum FeedSpec {
    Sequence {
        #[serde(default)]
        start: i64,
        #[serde(default = "default_step")]
        step: i64,
        #[serde(default)]
        fixed: bool,
    },
    Uniform {
        low: i64,
        high: i64,
    },
    Zipf {
        n: u64,
        s: f64,
    },
    Uuid {
        #[serde(default)]
        fixed: bool,
    },
    Choice {
        values: Vec<Scalar>,
        #[serde(default)]
        weights: Option<Vec<f64>>,
        #[serde(default)]
        order: Option<String>,
    },
    Cycle {
        values: Vec<Scalar>,
    },
    /// Values that the caller sets, before the run and while it goes on.
    Given {},
}
