//! One copy of the service: what it answers to which request, whatever the request came by.

use super::behaviour::Behaviour;
use super::calls;
use super::chat::{self, Asked, Chat, Counters};
use super::conduct::Conduct;
use super::config::{Closes, Config, Replication};
use super::lines::quoted;
use super::link::Unavailable;
use super::routes::Router;
use super::store::Store;
use crate::clock;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const BEHAVIOUR_PATH: &str = "/__lab/behaviour";
pub const JSON: &str = "application/json";
/// Of a request.
pub const MAX_BODY: usize = 16 << 20;
const TEXT: &str = "text/plain; version=0.0.4";

/// A request; the path is decoded, `api_key` is the header `x-api-key`.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub api_key: &'a str,
    pub body: &'a [u8],
}

pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Cow<'static, str>,
    /// Whether the connection ends with it.
    pub closes: bool,
    /// When a client may ask again, in seconds.
    pub retry_after: Option<u64>,
    /// What follows piece by piece in place of the body.
    pub stream: Option<Chat>,
}

type Said = (u16, Cow<'static, str>);

pub struct Replica {
    config: Config,
    store: Rc<Store>,
    router: Router,
    conduct: RefCell<Rc<Conduct>>,
    created: Cell<u64>,
    pub counters: Rc<Counters>,
    /// Ids made here begin with it.
    prefix: String,
}

impl Replica {
    pub fn new(config: Config, store: Rc<Store>) -> Self {
        Self {
            router: Router::new(&config.service, &config.routes),
            conduct: RefCell::new(Rc::new(Conduct::new(config.behaviour.clone(), &config.id))),
            prefix: format!("{}-{:x}-", config.id, clock::unix_ns() / 1000),
            created: Cell::new(0),
            counters: Rc::default(),
            config,
            store,
        }
    }

    pub async fn answer(&self, request: &Request<'_>) -> Answer {
        match request.path {
            "/ready" => self.ready().await,
            "/health" => self.health().await,
            "/metrics" => self.exposition(),
            BEHAVIOUR_PATH => self.behave(request),
            chat::TRUTH_PATH => inner(200, self.counters.truth.borrow().text()),
            chat::PATH if request.method == "POST" => self.chat(request),
            _ if request.method == "POST" && chat::is_asked_for(request.body) => self.chat(request),
            path if path == self.config.health_path => self.health().await,
            _ => self.serve(request).await,
        }
    }

    fn conduct(&self) -> Rc<Conduct> {
        Rc::clone(&self.conduct.borrow())
    }

    /// Whether it should be sent requests.
    fn is_ready(&self) -> bool {
        self.store.loaded.get() && self.conduct.borrow().behaviour.ready
    }

    // -- the service ---------------------------------------------------------------------------

    async fn serve(&self, request: &Request<'_>) -> Answer {
        let (began, in_flight) = self.counters.begin();
        let conduct = self.conduct();
        let (status, body) = match conduct.refuse(request.api_key, in_flight) {
            Some((status, body)) => (status, body.into()),
            None => self.carry_out(request, &conduct).await,
        };
        self.counters.end(status, began);
        let retry_after = conduct.retry_after(status);
        let closes = self.closes();
        Answer { status, content_type: JSON, body, closes, retry_after, stream: None }
    }

    /// A stream, which ends when it is dropped.
    fn chat(&self, request: &Request<'_>) -> Answer {
        let (began, in_flight) = self.counters.begin();
        let conduct = self.conduct();
        let false_one =
            conduct.refuse(request.api_key, in_flight).or_else(|| conduct.falsify(None));
        let asked = match false_one {
            Some(answer) => Err(answer),
            None => Asked::parse(request.body).map_err(|problem| (400, problem)),
        };
        let closes = self.closes();
        match asked {
            Ok(asked) => {
                let script = conduct.script(chat::PATH, &asked, began);
                let stream = Some(Chat::new(Rc::clone(&self.counters), script, &asked, began));
                let answer = inner(200, String::new());
                Answer { content_type: chat::EVENTS, closes, stream, ..answer }
            }
            Err((status, body)) => {
                self.counters.end(status, began);
                let retry_after = conduct.retry_after(status);
                Answer { closes, retry_after, ..inner(status, body.into()) }
            }
        }
    }

    fn closes(&self) -> bool {
        match self.config.closes {
            Closes::Never => false,
            Closes::Unready => !self.is_ready(),
            Closes::Always => true,
        }
    }

    /// Serves a request within the limits, as late and as false as it shall be.
    async fn carry_out(&self, request: &Request<'_>, conduct: &Conduct) -> Said {
        let found = self.router.find(request.path);
        if conduct.delays {
            let delay = conduct.delay(found.map_or(request.path, |(collection, _)| collection));
            if delay > Duration::ZERO {
                tokio::time::sleep(delay).await;
            }
        }
        work(conduct.behaviour.cpu_s);
        if !calls::all_answer(&conduct.behaviour.calls).await {
            return (503, r#"{"error":"a service that this one calls does not answer"}"#.into());
        }
        let said = match found {
            Some((collection, key)) => self.act(request, collection, key).await,
            None => Ok((404, r#"{"error":"no such path"}"#.into())),
        };
        let said = said.unwrap_or_else(|Unavailable| {
            (503, r#"{"error":"the database of the region does not answer"}"#.into())
        });
        // As it is now: the behaviour may have changed meanwhile.
        let id = found.and_then(|(_, key)| key);
        self.conduct.borrow().falsify(id).map_or(said, |(status, body)| (status, body.into()))
    }

    async fn act(
        &self,
        request: &Request<'_>,
        collection: &str,
        key: Option<&str>,
    ) -> Result<Said, Unavailable> {
        match (request.method, key) {
            ("GET", None) => Ok((200, self.list(collection))),
            ("GET", Some(key)) => self.read(collection, key).await,
            ("DELETE", _) => self.delete(request, collection, key).await,
            ("POST" | "PUT" | "PATCH", _) => self.write(request, collection, key).await,
            _ => Ok((405, r#"{"error":"method not allowed"}"#.into())),
        }
    }

    fn list(&self, collection: &str) -> Cow<'static, str> {
        let (items, count) = self.store.list(collection);
        let service = &self.config.service;
        format!(r#"{{"items":[{items}],"count":{count},"service":"{service}"}}"#).into()
    }

    async fn read(&self, collection: &str, key: &str) -> Result<Said, Unavailable> {
        let Some(value) = self.store.get(collection, key).await? else {
            return Ok((404, r#"{"error":"no such id"}"#.into()));
        };
        let (key, service) = (quoted(key), &self.config.service);
        Ok((200, format!(r#"{{"id":{key},"value":{value},"service":"{service}"}}"#).into()))
    }

    async fn delete(
        &self,
        request: &Request<'_>,
        collection: &str,
        key: Option<&str>,
    ) -> Result<Said, Unavailable> {
        if let Some(key) = key {
            self.store.put(collection, key, None, self.wants_sync(request)).await?;
        }
        Ok((200, format!(r#"{{"deleted":true,"service":"{}"}}"#, self.config.service).into()))
    }

    async fn write(
        &self,
        request: &Request<'_>,
        collection: &str,
        key: Option<&str>,
    ) -> Result<Said, Unavailable> {
        let Some(given) = Given::parse(request.body) else {
            return Ok((400, r#"{"error":"the body is not JSON"}"#.into()));
        };
        let key = match (key, given.id) {
            (Some(key), _) => Cow::Borrowed(key),
            (None, Some(id)) => Cow::Owned(id),
            (None, None) => Cow::Owned(self.new_id()),
        };
        self.store.put(collection, &key, Some(given.value), self.wants_sync(request)).await?;
        let status = if request.method == "POST" { 201 } else { 200 };
        let Config { service, region, .. } = &self.config;
        let key = quoted(&key);
        Ok((status, format!(r#"{{"id":{key},"service":"{service}","region":"{region}"}}"#).into()))
    }

    fn new_id(&self) -> String {
        let number = self.created.get() + 1;
        self.created.set(number);
        format!("{}{number}", self.prefix)
    }

    fn wants_sync(&self, request: &Request<'_>) -> bool {
        self.config.replication == Replication::Sync || request.query.contains("replication=sync")
    }

    // -- what a kubelet, an edge, Prometheus and the supervisor ask ------------------------------

    async fn health(&self) -> Answer {
        self.delay_health().await;
        inner(200, format!(r#"{{"status":"ok","service":"{}"}}"#, self.config.service))
    }

    async fn ready(&self) -> Answer {
        self.delay_health().await;
        let ready = self.is_ready();
        let body = format!(r#"{{"ready":{ready},"service":"{}"}}"#, self.config.service);
        inner(if ready { 200 } else { 503 }, body)
    }

    async fn delay_health(&self) {
        let seconds = self.conduct.borrow().behaviour.health_delay_s;
        if seconds > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
    }

    fn exposition(&self) -> Answer {
        let text =
            self.counters.metrics.borrow().text(&self.config.service, &self.store.lag.borrow());
        Answer { content_type: TEXT, ..inner(200, text) }
    }

    fn behave(&self, request: &Request<'_>) -> Answer {
        if request.method == "PUT" {
            match Behaviour::parse(request.body) {
                Ok(behaviour) => {
                    *self.conduct.borrow_mut() = Rc::new(Conduct::new(behaviour, &self.config.id));
                }
                Err(problem) => {
                    return inner(400, serde_json::json!({ "error": problem }).to_string());
                }
            }
        }
        let document = serde_json::to_string(&self.conduct.borrow().behaviour);
        inner(200, document.unwrap_or_default())
    }
}

/// Uses so much CPU time. Where a thread's cannot be read, the time that passes stands in for it.
fn work(seconds: f64) {
    if seconds > 0.0 {
        let now = || clock::thread_cpu_ns().unwrap_or_else(clock::now_ns);
        let until = now() + (seconds * 1e9) as u64;
        while now() < until {
            std::hint::spin_loop();
        }
    }
}

fn inner(status: u16, body: String) -> Answer {
    let body = body.into();
    Answer { status, content_type: JSON, body, closes: false, retry_after: None, stream: None }
}

/// What a client writes: its id, if it chose one, and the value as JSON text.
struct Given<'a> {
    id: Option<String>,
    value: &'a str,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
}

/// Unlike an option's own, `null` is a value.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Given<'a> {
    /// `None` if the body is not JSON. Without a `value` the whole document is the value.
    fn parse(body: &'a [u8]) -> Option<Self> {
        if body.is_empty() {
            return Some(Self { id: None, value: "{}" });
        }
        let text = std::str::from_utf8(body).ok()?;
        let whole: &RawValue = serde_json::from_str(text).ok()?;
        let value = whole.get();
        if !value.starts_with('{') {
            return Some(Self { id: None, value });
        }
        let item: Item = serde_json::from_str(value).ok()?;
        let id = match item.id.map(RawValue::get) {
            Some(raw) if raw.starts_with('"') => Some(serde_json::from_str(raw).ok()?),
            other => other.map(str::to_owned),
        };
        Some(Self { id, value: item.value.map_or(value, RawValue::get) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: &str) -> Option<(Option<String>, String)> {
        Given::parse(body.as_bytes()).map(|given| (given.id, given.value.to_owned()))
    }

    fn some(id: Option<&str>, value: &str) -> Option<(Option<String>, String)> {
        Some((id.map(Into::into), value.into()))
    }

    #[test]
    fn a_body_gives_an_id_and_a_value_or_is_the_value() {
        assert_eq!(given(""), some(None, "{}"));
        assert_eq!(given(r#" {"id":"a\n","value": [1] } "#), some(Some("a\n"), "[1]"));
        assert_eq!(given(r#"{"id":7,"value":null}"#), some(Some("7"), "null"));
        assert_eq!(given(r#"{"id":null,"x":1}"#), some(None, r#"{"id":null,"x":1}"#));
        assert_eq!(given("[1,2]"), some(None, "[1,2]"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in ["{", "not json", "{}x", r#"{"value":01}"#, "\u{feff}{}", "NaN"] {
            assert_eq!(given(body), None, "{body:?}");
        }
        assert!(Given::parse(b"\"\xff\"").is_none());
    }
}
