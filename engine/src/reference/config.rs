//! What a replica and a database are given when they start.

use super::behaviour::Behaviour;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What a replica is: its name and place, its routes and how it behaves at first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub service: String,
    pub id: String,
    pub region: String,
    pub replication: Replication,
    #[serde(default)]
    pub closes: Closes,
    pub routes: Vec<String>,
    pub behaviour: Behaviour,
    pub health_path: String,
    pub listen: (String, u16),
    /// Without one everything stays in this process.
    pub database: Option<(String, u16)>,
    /// The address that connections to the database come from.
    #[serde(default)]
    pub bind: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    Async,
    Sync,
}

/// When a replica ends the connection with its answer. One that is not ready is taken out of new
/// connections only: unless it ends the established ones, a pool goes on with it. `Always` lets a
/// load feel at once what becomes of new connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Closes {
    Never,
    #[default]
    Unready,
    Always,
}

impl Config {
    /// The configuration in a JSON object, or what is wrong with which field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = parse(text)?;
        config.behaviour.check()?;
        Ok(config)
    }
}

/// A process's configuration, or what is wrong with which field.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let document = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(document)
        .map_err(|error| format!("configuration: field {}: {}", error.path(), error.inner()))
}

/// What a database is: its region, its address and those of its peers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    pub region: String,
    /// Seconds after which a write is handed to the peers.
    pub delay_s: f64,
    pub listen: (String, u16),
    pub peers: BTreeMap<String, (String, u16)>,
    /// Acknowledges and never sends anything to a peer.
    #[serde(default)]
    pub stopped: bool,
}
