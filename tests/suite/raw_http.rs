//! Bytes that are no good HTTP: refused, and the connection with them.

use doorstep_tests::http::raw;
use doorstep_tests::{App, on_both};

const HEAD: &str = "POST /v1/sign-ups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
/// What an attacker hides behind a request: were it read as one, there would be two answers.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn send(app: &App, bytes: &str) -> String {
    String::from_utf8(raw(app.address(), bytes.as_bytes())).unwrap()
}

/// One answer, of one of these statuses, and nothing after it.
fn is_refused(what: &str, answer: &str, statuses: &[u16]) {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    assert!(status.is_some_and(|status| statuses.contains(&status)), "{what}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
}

on_both! {
    fn ht_04_a_request_whose_end_can_be_read_in_two_ways_is_refused(app) {
        let rows = [
            ("CL and TE", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
            ("two CLs", "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}"),
            ("two CLs, the same", "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
            ("a list of CLs", "Content-Length: 2, 2\r\n\r\n{}"),
            ("a signed CL", "Content-Length: +2\r\n\r\n{}"),
            ("a negative CL", "Content-Length: -1\r\n\r\n"),
            ("obs-fold", "X-A: 1\r\n Content-Length: 2\r\n\r\n{}"),
            ("obs-fold in TE", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
            ("a space before the colon", "Content-Length : 2\r\n\r\n{}"),
            ("another coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
            ("chunked, then identity", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
            ("identity, then chunked", "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
            ("identity", "Transfer-Encoding: identity\r\n\r\n"),
            ("two TEs", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
            ("a NUL in a header", "X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}"),
            ("a CR in a header", "X-A: a\rContent-Length: 2\r\n\r\n"),
            ("a chunk of no size", "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"),
            ("a chunk's size ended by LF", "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n"),
            ("a chunk's extension ended by LF", "Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n"),
            ("a chunk ended by LF", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n"),
            ("a CL behind LF, and TE", "X-A: 1\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("a second CL behind LF", "Content-Length: 2\r\nX-A: 1\nContent-Length: 40\r\n\r\n{}"),
            ("CL and TE behind LF", "Connection: close\nTransfer-Encoding: chunked\nContent-Length: 2\r\n\r\n"),
            ("a negative chunk", "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"),
        ];
        for (what, rest) in rows {
            is_refused(what, &send(app, &format!("{HEAD}{rest}{HIDDEN}")), &[400]);
        }
        let good = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}");
        assert_eq!(send(app, &good).matches("HTTP/1.1 ").count(), 2, "two good requests are two answers");
    }

    fn ht_04_a_line_of_a_head_may_end_in_lf_and_that_hides_nothing(app) {
        // docs/adr/0011: as RFC 9112 (section 2.2) lets it, each LF is the end of a line and of nothing else
        let crlf = format!("{HEAD}Content-Length: 2\r\n\r\n{{}}");
        let heads = [crlf.clone(), crlf.replace("\r\n", "\n"), crlf.replace("Host: x\r", "Host: x"), crlf.replace("\r\n\r\n", "\r\n\n")];
        for head in heads {
            let answer = send(app, &format!("{head}{HIDDEN}"));
            let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
            assert_eq!(statuses, ["422", "200"], "{head:?}");
        }
    }

    fn ht_04_what_the_parser_refuses_is_answered_without_words_and_closed(app) {
        for bytes in ["\0\r\n\r\n", "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"] {
            let answer = send(app, &format!("{bytes}{HIDDEN}"));
            is_refused(bytes, &answer, &[400]);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(body.is_empty() && head.to_ascii_lowercase().contains("connection: close"), "{answer}");
        }
    }

    fn ft_22_heads_have_bounds(app) {
        let headers = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
        let ask = |target: &str, headers: &str| send(app, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"));
        assert!(ask("/healthz", &headers(90)).starts_with("HTTP/1.1 200 "));
        is_refused("97 headers", &ask("/healthz", &headers(97)), &[400, 431]);
        is_refused("a header of 129 KiB", &ask("/healthz", &format!("X-A: {}\r\n", "x".repeat(132_096))), &[400, 431]);
        let target = |length: usize| format!("/problems/not-found?{}", "x".repeat(length - 20));
        assert!(ask(&target(8000), "").starts_with("HTTP/1.1 200 "));
        for length in [8001, 8192, 70_000] {
            is_refused("a long target", &ask(&target(length), ""), &[400, 431]);
        }
        assert!(ask(&target(8001), "").contains("\"malformed_request\""));
        app.client.get("/healthz").send().expect(200);
    }
}
