//! A replica's copy of its region's database.
//!
//! Reads are answered from the copy, which trails the database by milliseconds; a key that the copy
//! does not have is asked of the database, so a write acknowledged by one replica is found at every
//! other.

use super::lines::quoted;
use super::link::{Link, Unavailable};
use super::metrics::Lag;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::LazyLock;

const SEEDED: usize = 1000;
const LISTED: usize = 20;
const PAD: &str =
    "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt";

static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    (1..=SEEDED).map(|n| format!(r#"{{"number":{n},"text":"{n} {PAD}"}}"#)).collect()
});

/// The value that an id has from the start.
fn seed(key: &str) -> Option<&'static str> {
    if key.starts_with(['0', '+']) {
        return None;
    }
    let number: usize = key.parse().ok()?;
    SEEDS.get(number.checked_sub(1)?).map(String::as_str)
}

/// The items of one route: those written, over the seeded ids.
struct Collection {
    /// None: deleted.
    written: HashMap<String, Option<String>>,
    newest: VecDeque<String>,
    count: usize,
    listing: Option<Rc<str>>,
}

impl Collection {
    fn new() -> Self {
        Self {
            written: HashMap::new(),
            newest: (SEEDED - LISTED + 1..=SEEDED).map(|n| n.to_string()).collect(),
            count: SEEDED,
            listing: None,
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.written.get(key).map_or_else(|| seed(key), Option::as_deref)
    }

    /// Brings the copy to the state after a write (`None`: a deletion).
    fn apply(&mut self, key: &str, value: Option<&str>) {
        self.listing = None;
        let existed = self.get(key).is_some();
        match self.written.get_mut(key) {
            Some(held) => *held = value.map(Into::into),
            None if value.is_some() || existed => {
                self.written.insert(key.into(), value.map(Into::into));
            }
            None => {}
        }
        if value.is_some() && !existed {
            self.count += 1;
            if self.newest.len() == LISTED {
                self.newest.pop_front();
            }
            self.newest.push_back(key.into());
        } else if value.is_none() && existed {
            self.count -= 1;
        }
    }

    /// The newest items that are still there, as the inside of a JSON array.
    fn listing(&mut self) -> Rc<str> {
        if let Some(known) = &self.listing {
            return Rc::clone(known);
        }
        let mut text = String::with_capacity(4096);
        for key in &self.newest {
            if let Some(value) = self.get(key) {
                let comma = if text.is_empty() { "" } else { "," };
                let _ = write!(text, r#"{comma}{{"id":{},"value":{value}}}"#, quoted(key));
            }
        }
        let made: Rc<str> = text.into();
        self.listing = Some(Rc::clone(&made));
        made
    }
}

/// The collections of one replica.
pub struct Store {
    collections: RefCell<HashMap<String, Collection>>,
    pub lag: RefCell<Lag>,
    /// Whether the whole state of the database has arrived.
    pub loaded: Cell<bool>,
    /// `None`: everything stays in this process.
    pub link: Option<Link>,
}

impl Store {
    pub fn new(alone: bool) -> Self {
        Self {
            collections: RefCell::default(),
            lag: RefCell::default(),
            loaded: Cell::new(alone),
            link: (!alone).then(Link::default),
        }
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Collection) -> T) -> T {
        let mut collections = self.collections.borrow_mut();
        match collections.get_mut(name) {
            Some(found) => act(found),
            None => act(collections.entry(name.into()).or_insert_with(Collection::new)),
        }
    }

    /// The value as JSON text; asks the database for what the copy does not have.
    pub async fn get(&self, name: &str, key: &str) -> Result<Option<String>, Unavailable> {
        let (value, known) = self
            .with(name, |held| (held.get(key).map(str::to_owned), held.written.contains_key(key)));
        match &self.link {
            Some(link) if value.is_none() && !known => link.read(name, key).await,
            _ => Ok(value),
        }
    }

    /// Writes (`None` deletes) and returns when that is acknowledged.
    pub async fn put(
        &self,
        name: &str,
        key: &str,
        value: Option<&str>,
        sync: bool,
    ) -> Result<(), Unavailable> {
        if let Some(link) = &self.link {
            link.write(name, key, value, sync).await?;
        }
        self.apply(name, key, value);
        Ok(())
    }

    pub fn apply(&self, name: &str, key: &str, value: Option<&str>) {
        self.with(name, |held| held.apply(key, value));
    }

    /// The newest items as the inside of a JSON array, and how many there are in all.
    pub fn list(&self, name: &str) -> (Rc<str>, usize) {
        self.with(name, |held| (held.listing(), held.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thousand_ids_are_there_and_no_other_spelling_of_them() {
        assert!(seed("1").is_some() && seed("1000").is_some());
        for key in ["0", "1001", "01", "+1", "-1", " 1", "1 ", "", "x"] {
            assert!(seed(key).is_none(), "{key:?}");
        }
    }

    #[test]
    fn a_collection_lists_what_is_newest_and_still_there() {
        let mut collection = Collection::new();
        collection.apply("odd \"id\"", Some("1"));
        collection.apply("1000", None);
        collection.apply("never-there", None);
        let listed: serde_json::Value =
            serde_json::from_str(&format!("[{}]", collection.listing())).unwrap();
        let ids: Vec<&str> =
            listed.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids.last(), Some(&"odd \"id\""));
        assert!(!ids.contains(&"1000") && ids.len() == LISTED - 1);
        assert_eq!(collection.count, SEEDED);
        assert!(!collection.written.contains_key("never-there"));
    }
}
