//! The services that a replica calls while it answers.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
const STATUS_LINE: usize = "HTTP/1.1 200".len();

/// The address and the path of `http://HOST:PORT/PATH`.
pub fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (address, path) = rest.split_at(rest.find('/')?);
    address.contains(':').then_some((address, path))
}

/// Whether each of them answers well, one after the other.
pub async fn all_answer(urls: &[String]) -> bool {
    for url in urls {
        if !timeout(PATIENCE, answers(url)).await.unwrap_or(false) {
            return false;
        }
    }
    true
}

async fn answers(url: &str) -> bool {
    let Some((address, path)) = split(url) else { return false };
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut head = [0; STATUS_LINE];
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_exact(&mut head).await.is_ok()
        && head[STATUS_LINE - 3] == b'2'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        assert_eq!(split("http://127.0.0.1:80/api/x"), Some(("127.0.0.1:80", "/api/x")));
        for odd in ["127.0.0.1:80/", "http://127.0.0.1:80", "http://host/x", ""] {
            assert_eq!(split(odd), None, "{odd}");
        }
    }
}
