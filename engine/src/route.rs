//! Where requests go and how they get there: base URLs, fixed addresses, a socket file, a proxy.

use crate::document::Document;
use crate::error::{PlanError, nanos};
use base64::Engine as _;
use http::{HeaderValue, Uri};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Bytes of a socket file's path that an address of the kernel has room for.
const LONGEST_SOCKET_PATH: usize = 107;

/// One base URL, split.
#[derive(Clone, Debug)]
pub struct TargetUrl {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// What the Host header and the HTTP/2 authority say.
    pub authority: String,
    /// A path prefix without its trailing slash; in front of it, for a proxy, scheme and host.
    pub prefix: String,
    /// Addresses that stand in for those of the name.
    pub addresses: Vec<SocketAddr>,
    /// Lines of an HTTP/1.1 head that this route needs.
    pub lines: String,
}

/// What all connections have in common.
#[derive(Debug, Default)]
pub struct Route {
    pub unix_socket: Option<PathBuf>,
    pub proxy: Option<Proxy>,
    /// Requests that a connection carries at most.
    pub most_requests: u64,
    /// After so long a connection takes no more requests.
    pub most_age_ns: u64,
}

#[derive(Debug)]
pub struct Proxy {
    pub url: TargetUrl,
    /// The header line that says who we are; may be empty.
    pub authorization: String,
}

impl TargetUrl {
    /// Name and port, as a CONNECT request writes them.
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The targets of a plan and how they are reached.
pub fn compile(d: &Document) -> Result<(Vec<TargetUrl>, Route), PlanError> {
    if d.targets.is_empty() {
        return Err(PlanError::at("targets", "empty; give at least one base URL"));
    }
    let mut targets = d
        .targets
        .iter()
        .enumerate()
        .map(|(i, url)| {
            target(url, d.host.as_deref())
                .map_err(|problem| PlanError::at(format!("targets[{i}]"), problem))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let given = [
        ("unix_socket", d.unix_socket.is_some()),
        ("proxy", d.proxy.is_some()),
        ("resolve", !d.resolve.is_empty()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if let [one, other, ..] = given.as_slice() {
        return Err(PlanError::at(other, format!("{one} says already where to connect; keep one")));
    }
    for (i, text) in d.resolve.iter().enumerate() {
        pin(text, &mut targets)
            .map_err(|problem| PlanError::at(format!("resolve[{i}]"), problem))?;
    }
    let proxy = match &d.proxy {
        None => None,
        Some(url) => Some(proxy(url).map_err(|problem| PlanError::at("proxy", problem))?),
    };
    let life = &d.connection_life;
    for target in &mut targets {
        if let Some(proxy) = proxy.as_ref().filter(|_| !target.tls && !d.http2) {
            target.prefix = format!("http://{}{}", target.place(), target.prefix);
            target.lines.push_str(&proxy.authorization);
        }
        if life.requests == Some(1) {
            target.lines.push_str("connection: close\r\n");
        }
    }
    let route = Route {
        unix_socket: d.unix_socket.as_deref().map(socket_file).transpose()?,
        proxy,
        most_requests: match life.requests {
            Some(0) => {
                return Err(PlanError::at("connection_life.requests", "0; give 1 or more"));
            }
            found => found.unwrap_or(u64::MAX),
        },
        most_age_ns: match life.age_s {
            None => u64::MAX,
            Some(age) => nanos("connection_life.age_s", age, false)?,
        },
    };
    Ok((targets, route))
}

fn socket_file(path: &str) -> Result<PathBuf, PlanError> {
    if path.is_empty() || path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        return Err(PlanError::at(
            "unix_socket",
            format!("{path:?} names no socket; give a path of 1 to {LONGEST_SOCKET_PATH} bytes"),
        ));
    }
    Ok(path.into())
}

/// `HOST:PORT:ADDRESS`: that target is at this address, whatever its name resolves to.
fn pin(text: &str, targets: &mut [TargetUrl]) -> Result<(), String> {
    let parts = text.split_once(':').and_then(|(host, rest)| {
        let (port, address) = rest.split_once(':')?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Some((host, port.parse::<u16>().ok()?, address.parse::<IpAddr>().ok()?))
    });
    let (host, port, address) =
        parts.ok_or_else(|| format!("{text:?} is not HOST:PORT:ADDRESS; give an IP address"))?;
    let mut found = false;
    for target in targets {
        if target.host.eq_ignore_ascii_case(host) && target.port == port {
            target.addresses.push(SocketAddr::new(address, port));
            found = true;
        }
    }
    if found { Ok(()) } else { Err(format!("no target is at {host}:{port}; name one that is")) }
}

fn proxy(text: &str) -> Result<Proxy, String> {
    let remedy = "write it as http://host:port";
    let (user, rest) = match text.strip_prefix("http://") {
        None => return Err(format!("it does not begin with http://; {remedy}")),
        Some(rest) => match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        },
    };
    // What it says is not repeated: a password may be in it.
    let url = target(&format!("http://{rest}"), None).map_err(|_| format!("no host; {remedy}"))?;
    if !url.prefix.is_empty() {
        return Err(format!("it has a path; {remedy}"));
    }
    let authorization = match user {
        None => String::new(),
        Some(user) => {
            let decoded = percent_decoded(user);
            let coded = base64::engine::general_purpose::STANDARD.encode(decoded);
            format!("proxy-authorization: Basic {coded}\r\n")
        }
    };
    Ok(Proxy { url, authorization })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let hex = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                bytes = &rest[2..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    out
}

fn target(url: &str, host: Option<&str>) -> Result<TargetUrl, String> {
    let remedy = "write it as http://host:port or https://host:port";
    let uri: Uri =
        url.parse().map_err(|error| format!("{url:?} is not a URL ({error}); {remedy}"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("{url:?} has the scheme {other:?}; {remedy}")),
        None => return Err(format!("{url:?} has no scheme; {remedy}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("{url:?} has no host; {remedy}"))?;
    if authority.as_str().contains('@') {
        return Err(format!("{url:?} holds user information; send it as an authorization header"));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(format!("{url:?} holds a query or fragment; {remedy}"));
    }
    let name = authority.host();
    if name.is_empty() || authority.as_str().ends_with(':') {
        return Err(format!("{url:?} has no host or an empty port; {remedy}"));
    }
    let authority_text = host.unwrap_or(authority.as_str()).to_owned();
    HeaderValue::from_str(&authority_text)
        .map_err(|_| format!("the host {authority_text:?} holds characters a header cannot"))?;
    format!("http://{authority_text}/")
        .parse::<Uri>()
        .map_err(|_| format!("the host {authority_text:?} is not a host name"))?;
    Ok(TargetUrl {
        tls,
        host: name.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: match authority.port_u16() {
            Some(0) => return Err(format!("{url:?} has port 0; {remedy}")),
            Some(port) => port,
            None if authority.as_str().len() > name.len() => {
                return Err(format!("{url:?} has a port out of range; {remedy}"));
            }
            None if tls => 443,
            None => 80,
        },
        authority: authority_text,
        prefix: uri.path().trim_end_matches('/').to_owned(),
        addresses: Vec::new(),
        lines: String::new(),
    })
}
