//! Which collection and which id a path names.

use std::borrow::Cow;
use std::collections::HashSet;

/// The collections of a service.
pub struct Router {
    fixed: HashSet<String>,
    /// Paths with variables: each segment as the literal text before and after one.
    variable: Vec<Vec<Segment>>,
}

enum Segment {
    Literal(String),
    /// At least one character between the two.
    Between(String, String),
}

impl Router {
    /// Without paths a service has the generic ones.
    pub fn new(service: &str, paths: &[String]) -> Self {
        let mut listed: HashSet<String> = paths.iter().cloned().collect();
        if listed.is_empty() {
            listed.insert(format!("/api/v1/{service}"));
        }
        let is_item = |path: &&String| {
            path.ends_with('}')
                && path.rsplit_once('/').is_some_and(|(head, _)| listed.contains(head))
        };
        let (variable, fixed): (Vec<&String>, Vec<&String>) =
            listed.iter().filter(|path| !is_item(path)).partition(|path| path.contains('{'));
        let mut variable = variable;
        variable.sort();
        Self {
            fixed: fixed.into_iter().cloned().collect(),
            variable: variable.into_iter().map(|path| segments(path)).collect(),
        }
    }

    /// (collection, id if it names one), or `None` where the service has no such path.
    pub fn find<'a>(&self, path: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        if self.fixed.contains(path) {
            return Some((path, None));
        }
        let (head, tail) = path.rsplit_once('/').filter(|(_, tail)| !tail.is_empty())?;
        if self.fixed.contains(head) {
            return Some((head, Some(tail)));
        }
        let is_collection = |path: &str| self.variable.iter().any(|pattern| matches(pattern, path));
        if is_collection(path) {
            return Some((path, None));
        }
        is_collection(head).then_some((head, Some(tail)))
    }
}

fn segments(path: &str) -> Vec<Segment> {
    let segment = |text: &str| match (text.find('{'), text.rfind('}')) {
        (Some(begin), Some(end)) if begin < end => {
            Segment::Between(text[..begin].into(), text[end + 1..].into())
        }
        _ => Segment::Literal(text.into()),
    };
    path.split('/').map(segment).collect()
}

fn matches(pattern: &[Segment], path: &str) -> bool {
    let mut given = path.split('/');
    let all = pattern.iter().all(|segment| {
        given.next().is_some_and(|text| match segment {
            Segment::Literal(wanted) => text == wanted,
            Segment::Between(before, after) => {
                text.len() > before.len() + after.len()
                    && text.starts_with(before.as_str())
                    && text.ends_with(after.as_str())
            }
        })
    });
    all && given.next().is_none()
}

/// The path with its percent-encoded bytes in place; as it stands where they make no UTF-8.
pub fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.filter(|hex| !hex.starts_with('+')).map(|hex| u8::from_str_radix(hex, 16)) {
            Some(Ok(byte)) => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(path), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(paths: &[&str]) -> Router {
        Router::new("id", &paths.iter().map(|path| (*path).into()).collect::<Vec<String>>())
    }

    #[test]
    fn a_variable_matches_one_segment() {
        let router = router(&["/api/mfa/{action}", "/api/users", "/api/users/{id}", "/v{n}.json"]);
        assert_eq!(router.find("/api/mfa/setup"), Some(("/api/mfa/setup", None)));
        assert_eq!(router.find("/api/mfa/setup/7"), Some(("/api/mfa/setup", Some("7"))));
        assert_eq!(router.find("/api/mfa"), None);
        assert_eq!(router.find("/api/mfa/"), None);
        assert_eq!(router.find("/api/mfa/a/b/c"), None);
        assert_eq!(router.find("/api/users/7"), Some(("/api/users", Some("7"))));
        assert_eq!(router.find("/api/users/"), None);
        assert_eq!(router.find("/v2.json"), Some(("/v2.json", None)));
        assert_eq!(router.find("/v.json"), None);
    }

    #[test]
    fn a_service_without_routes_has_the_generic_ones() {
        let router = router(&[]);
        assert_eq!(router.find("/api/v1/id"), Some(("/api/v1/id", None)));
        assert_eq!(router.find("/api/v1/id/7"), Some(("/api/v1/id", Some("7"))));
    }

    #[test]
    fn a_path_is_decoded_once_and_only_into_text() {
        assert_eq!(decoded("/a%20b%2525"), "/a b%25");
        assert_eq!(decoded("/%C3%BC"), "/ü");
        for odd in ["/%", "/%f", "/%zz", "/%+1", "/%ff"] {
            assert_eq!(decoded(odd), odd);
        }
    }
}
