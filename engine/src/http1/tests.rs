use super::*;

/// What a reply is once it is over: status, body, whether the connection may be used again.
type Whole = (u16, String, bool);

/// Reads `text` in pieces of `size`, then the end of the stream.
fn read(text: &str, size: usize, to_head: bool) -> Result<Whole, ErrorKind> {
    let mut reply = Reply::new(to_head, (true, false), 1_000);
    for piece in text.as_bytes().chunks(size) {
        reply.take(piece)?;
    }
    if !reply.is_over() {
        reply.close()?;
    }
    let body = String::from_utf8(reply.kept.to_vec()).unwrap();
    Ok((reply.head.status, body, reply.head.persistent))
}

/// The same however it is cut into pieces.
fn whole(text: &str) -> Result<Whole, ErrorKind> {
    let result = read(text, text.len().max(1), false);
    for size in [1, 2, 3, 7] {
        assert_eq!(read(text, size, false), result, "{text:?} in pieces of {size}");
    }
    result
}

fn good(status: u16, body: &str, persistent: bool) -> Result<Whole, ErrorKind> {
    Ok((status, body.into(), persistent))
}

#[test]
fn a_length_ends_the_body() {
    assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), good(200, "ok", true));
    assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), good(200, "", true));
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(whole(twice), good(200, "ok", true));
    for bad in ["2, 3", "+2", "", "99999999999999999999"] {
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {bad}\r\n\r\nok");
        assert_eq!(whole(&text), Err(ErrorKind::Protocol), "{bad}");
    }
}

#[test]
fn chunks_extensions_and_trailers_are_read() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\ncontent-length: 1\r\n\r\n";
    let body = "3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nx: y\r\n\r\n";
    assert_eq!(whole(&format!("{head}{body}")), good(200, "abc0123456789", true));
    for bad in ["x\r\n", "\r\n", "3\r\nabcd\r\n", "3\nabc", "11111111111111111\r\n"] {
        assert_eq!(whole(&format!("{head}{bad}")), Err(ErrorKind::Protocol), "{bad:?}");
    }
    let endless = format!("{head}0\r\n{}", "x: y\r\n".repeat(5_000));
    assert_eq!(whole(&endless), Err(ErrorKind::Protocol));
    assert_eq!(whole(&format!("{head}3\r\nab")), Err(ErrorKind::Eof));
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    assert_eq!(whole("HTTP/1.1 200 OK\r\n\r\nall"), good(200, "all", false));
    let coded = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 1\r\n\r\nall";
    assert_eq!(whole(coded), good(200, "all", false));
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    for status in [204, 304] {
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(whole(&text), good(status, "", true));
    }
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(read(text, 9, true), good(200, "", true));
}

#[test]
fn interim_responses_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(whole(text), good(201, "ok", true));
    assert_eq!(whole("HTTP/1.1 100 Continue\r\n\r\n"), Err(ErrorKind::Protocol));
    assert_eq!(whole("HTTP/1.1 101 Switching\r\n\r\n"), good(101, "", false));
}

#[test]
fn the_connection_outlives_the_response_only_if_both_agree() {
    let with = |version: &str, connection: &str| {
        whole(&format!(
            "HTTP/{version} 200 OK\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n"
        ))
        .map(|(_, _, persistent)| persistent)
    };
    assert_eq!(with("1.1", "x, Close"), Ok(false));
    assert_eq!(with("1.1", "keep-alive"), Ok(true));
    assert_eq!(with("1.0", "Keep-Alive"), Ok(true));
    assert_eq!(with("1.0", "x"), Ok(false));
    // What comes after the response was not asked for.
    let more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 408 X\r\n\r\n";
    assert_eq!(whole(more), good(200, "ok", false));
}

#[test]
fn what_ends_too_early_is_not_a_response() {
    assert_eq!(whole(""), Err(ErrorKind::Eof));
    assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-le"), Err(ErrorKind::Protocol));
    assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"), Err(ErrorKind::Eof));
}

#[test]
fn bodies_and_heads_have_a_limit() {
    let body = "z".repeat(1_001);
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{body}");
    assert_eq!(whole(&text), Err(ErrorKind::BodyTooLarge));
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
    assert_eq!(read(&head, 65_536, false), Err(ErrorKind::Protocol));
}
