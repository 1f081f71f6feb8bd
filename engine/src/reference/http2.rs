//! HTTP/2 with prior knowledge, in front of the same replica.

use super::chat::Piece;
use super::replica::{MAX_BODY, Replica, Request};
use super::routes::decoded;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use std::io::Cursor;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, join};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Answers the requests of one connection at once until it ends; `begun` has been read from it.
pub async fn converse(
    replica: Rc<Replica>,
    begun: Vec<u8>,
    stream: TcpStream,
) -> Result<(), h2::Error> {
    let (from, to) = stream.into_split();
    let mut connection = h2::server::handshake(join(Cursor::new(begun).chain(from), to)).await?;
    let leaving = Rc::new(Notify::new());
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted?;
                let leaving = Rc::clone(&leaving);
                spawn_local(serve(Rc::clone(&replica), request, respond, leaving));
            }
            () = leaving.notified() => connection.graceful_shutdown(),
        }
    }
}

async fn serve(
    replica: Rc<Replica>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    leaving: Rc<Notify>,
) -> Result<(), h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
        if body.len() > MAX_BODY {
            respond.send_reset(Reason::ENHANCE_YOUR_CALM);
            return Ok(());
        }
    }
    let api_key = head.headers.get("x-api-key").and_then(|key| key.to_str().ok());
    let answer = replica
        .answer(&Request {
            method: head.method.as_str(),
            path: &decoded(head.uri.path()),
            query: head.uri.query().unwrap_or_default(),
            api_key: api_key.unwrap_or_default(),
            body: &body,
        })
        .await;
    if answer.closes {
        leaving.notify_one();
    }
    let mut response = http::Response::new(());
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(answer.content_type));
    if let Some(mut chat) = answer.stream {
        let mut out = respond.send_response(response, false)?;
        loop {
            match chat.next().await {
                Piece::More(text) => out.send_data(text.into(), false)?,
                Piece::Last(text) => return out.send_data(text.into(), true),
                Piece::Cut => {
                    out.send_reset(Reason::INTERNAL_ERROR);
                    return Ok(());
                }
            }
        }
    }
    headers.insert(CONTENT_LENGTH, answer.body.len().into());
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    let empty = answer.body.is_empty() || head.method == http::Method::HEAD;
    let mut out = respond.send_response(response, empty)?;
    if !empty {
        out.send_data(answer.body.into_owned().into(), true)?;
    }
    Ok(())
}
