use super::*;

fn streaming(limits: Option<LimitsSpec>) -> Streaming {
    Streaming::new(
        &StreamSpec { silence_s: 1.0, until: Some("[DONE]".into()), limits },
        1_000_000_000,
    )
}

fn chunk(content: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
}

/// Reads pieces that come at 10, 20, 30, …; what is wrong at the end, what came, the gaps.
fn read(
    format: Format,
    pieces: &[&str],
) -> (Result<Option<String>, ErrorKind>, Streamed, Vec<u64>) {
    let streaming = streaming(None);
    let mut reader = Reader::new(&streaming);
    reader.begin(format, 200);
    let gaps = std::cell::RefCell::new(Vec::new());
    for (i, piece) in pieces.iter().enumerate() {
        reader.hear(10 * (i as u64 + 1));
        if let Err(kind) = reader.take(piece.as_bytes()) {
            return (Err(kind), reader.streamed(), gaps.into_inner());
        }
        reader.report_gaps(|gap, count| {
            gaps.borrow_mut().extend((0..count).map(|_| gap));
        });
    }
    let wrong = reader.finish(10 * (pieces.len() as u64 + 1));
    (wrong, reader.streamed(), gaps.into_inner())
}

const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":5}}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn only_events_with_content_are_timed_and_usage_counts_the_tokens() {
    let (a, b) = (chunk("a"), chunk("b"));
    let last = format!("{END}{USAGE}{DONE}");
    let (wrong, found, gaps) = read(Format::Events, &[ROLE, ": ping\n\n", &a, "\n", &b, &last]);
    assert_eq!(wrong, Ok(None));
    assert_eq!((found.first_event, found.last_event, found.events), (Some(30), 50, 2));
    assert_eq!((found.tokens(), found.inter_token()), (5, Some(5)));
    assert_eq!(gaps, [20]);
}

#[test]
fn events_in_one_piece_are_counted_apart_with_no_time_between() {
    let both = chunk("a") + &chunk("b");
    let (wrong, found, gaps) = read(Format::Events, &[&both, &(chunk("c") + DONE)]);
    assert_eq!(wrong, Ok(None));
    assert_eq!((found.events, found.coalesced, found.tokens()), (3, 1, 3));
    assert_eq!(gaps, [0, 10]);
}

#[test]
fn events_are_the_same_however_the_bytes_are_cut_and_lines_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("\u{feff}{ROLE}{}event: x\ndata: [1,\ndata: 2]\n\n{DONE}", chunk("a"))
            .replace('\n', end);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = bytes.iter().map(String::as_str).collect();
        for pieces in [&[text.as_str()][..], &pieces] {
            let (wrong, found, _) = read(Format::Events, pieces);
            assert_eq!((wrong, found.events), (Ok(None), 2), "{end:?}");
        }
    }
}

#[test]
fn a_stream_without_its_last_event_or_without_content_or_with_an_error_is_broken() {
    let wrong = |pieces: &[&str]| read(Format::Events, pieces).0.unwrap().unwrap_or_default();
    assert_eq!(wrong(&[&chunk("a")]), "ended without [DONE] after 1 events");
    assert_eq!(wrong(&[ROLE, DONE]), "ended without an event that carries content");
    let error = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
    assert!(wrong(&[&chunk("a"), error, DONE]).contains("out of memory"));
    // The last line end may be missing.
    assert_eq!(wrong(&[&chunk("a"), "data: [DONE]"]), "");
}

#[test]
fn lines_and_pieces_need_no_last_event() {
    let (wrong, found, gaps) = read(Format::Lines, &["{\"a\":1}\n{\"b\"", ":2}\n\n"]);
    assert_eq!((wrong, found.events, gaps), (Ok(None), 2, vec![10]));
    let (wrong, found, gaps) = read(Format::Pieces, &["some ", "text"]);
    assert_eq!((wrong, found.events, gaps), (Ok(None), 2, vec![10]));
}

#[test]
fn an_endless_line_and_an_endless_event_are_bounded() {
    let long = "x".repeat(MAX_EVENT / 2 + 1);
    let line = format!("data: {long}");
    assert_eq!(read(Format::Events, &[&line, &long]).0, Err(ErrorKind::BodyTooLarge));
    let line = format!("data: {long}\n");
    assert_eq!(read(Format::Events, &[&line, &line]).0, Err(ErrorKind::BodyTooLarge));
}

#[test]
fn tokens_that_nobody_can_have_sent_are_not_believed() {
    let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":99999999999}}\n\n";
    let (_, found, _) = read(Format::Events, &[&chunk("a"), usage, DONE]);
    assert_eq!(found.tokens(), 1);
}

#[test]
fn a_good_stream_keeps_every_limit() {
    let stream = Streamed {
        first_event: Some(300_000_000),
        last_event: 500_000_000,
        events: 3,
        ..Streamed::default()
    };
    let good = |ttft_s, itl_s, response_s| {
        streaming(Some(LimitsSpec { ttft_s, itl_s, response_s })).is_good(&stream, 0, 600_000_000)
    };
    assert!(good(Some(0.3), Some(0.1), Some(0.6)));
    assert!(!good(Some(0.299), None, None));
    assert!(!good(None, Some(0.099), None));
    assert!(!good(None, None, Some(0.599)));
    assert!(!streaming(None).is_good(&stream, 0, 600_000_000));
}

#[test]
fn the_content_type_says_how_events_are_divided() {
    assert_eq!(Format::of(b"Text/Event-Stream; charset=utf-8"), Format::Events);
    assert_eq!(Format::of(b"application/x-ndjson"), Format::Lines);
    assert_eq!(Format::of(b"application/json; charset=utf-8"), Format::Document);
    assert_eq!(Format::of(b"text/plain"), Format::Pieces);
}
