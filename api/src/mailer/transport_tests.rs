use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

use super::*;

const LINK: &str =
    "https://a-rather-long-name.help.shop.example/reset#token=SampleTokenSampleTokenSampleTokenSampleToke";

fn rendered(greeting: &str) -> Rendered {
    Rendered {
        subject: format!("{greeting}: choose a password"),
        text: Zeroizing::new(format!("{greeting},\n\n{LINK}\n\nCode: ABCD-EFGH\n.\nGood bye\n")),
        html: Zeroizing::new(format!("<p>{greeting}</p>\n<p>{LINK} ABCD-EFGH</p>\n")),
        language: "de",
    }
}

fn from() -> Mailbox {
    "Größe & Co <help@shop.example>".parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_767_323_045_000_007)
}

/// Answers one connection: lines that start so with that. Gives back what it was told.
fn listen(listener: TcpListener, answers: &'static [(&'static str, &'static str)]) -> JoinHandle<String> {
    const USUAL: [(&str, &str); 5] = [
        ("EHLO", "250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8"),
        ("DATA", "354 go on"),
        (".\r\n", "250 taken"),
        ("QUIT", "221 bye"),
        ("", "250 ok"),
    ];
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let (mut told, mut in_data) = (String::new(), false);
        write!(stream, "220 mx ready\r\n").unwrap();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return told;
            }
            told.push_str(&line);
            in_data = in_data && line != ".\r\n";
            if !in_data {
                let (_, answer) = answers.iter().chain(&USUAL).find(|(start, _)| line.starts_with(start)).unwrap();
                in_data = answer.starts_with("354");
                write!(stream, "{answer}\r\n").unwrap();
            }
        }
    })
}

/// What became of one mail to Ada, and what the server was told.
fn sent(to: &str, answers: &'static [(&'static str, &'static str)]) -> (Result<(), SendError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = listen(listener, answers);
    let url = format!("smtp://{address}?tls=none");
    let transport = Transport::from_config(Some(&url), Path::new("")).ok().unwrap();
    let result = transport.send(&from(), to, &rendered("Grüße"), "0190-7", now());
    drop(transport);
    // ends the wait of a server that nobody has called
    drop(TcpStream::connect(address));
    (result, server.join().unwrap())
}

#[test]
fn a_mail_becomes_a_private_file_that_can_be_searched() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data").join("mail");
    let transport = Transport::from_config(None, &dir).ok().unwrap();
    assert!(!dir.exists());
    transport.send(&from(), "ada@example.org", &rendered("Grüße"), "0190-7", now()).unwrap();
    transport.send(&from(), "ada@example.org", &rendered("Hello"), "0190-8", now()).unwrap();

    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["20260102T030405.000007Z-0190-7.eml", "20260102T030405.000007Z-0190-8.eml"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(&names[0]))), (0o700, 0o600));

    for (name, encoding) in [(&names[0], "8bit"), (&names[1], "7bit")] {
        let mail = fs::read_to_string(dir.join(name)).unwrap();
        for line in [
            "To: ada@example.org",
            "Date: Fri, 02 Jan 2026 03:04:05 +0000",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "Content-Language: de",
            "MIME-Version: 1.0",
            LINK,
            "Code: ABCD-EFGH",
            &format!("Message-ID: <{}@shop.example>", &name[24..30]),
            &format!("Content-Transfer-Encoding: {encoding}"),
        ] {
            assert!(mail.contains(&format!("{line}\r\n")), "{line} in {mail}");
        }
        assert!(mail.contains("Content-Type: multipart/alternative;") && !mail.contains("base64"), "{mail}");
        assert!(mail.find("text/plain").unwrap() < mail.find("text/html").unwrap());
        assert!(!mail.replace("\r\n", "").contains(['\r', '\n']));
    }
}

#[test]
fn a_mail_is_told_to_the_server() {
    let (result, told) = sent("ada@example.org", &[]);
    result.unwrap();
    assert!(told.contains("MAIL FROM:<help@shop.example>\r\nRCPT TO:<ada@example.org>\r\nDATA\r\n"), "{told}");
    assert!(told.is_ascii(), "a server without 8BITMIME takes it too");
    assert!(told.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n") && !told.contains(": base64"));
    assert!(told.contains("\r\nGr=C3=BC=C3=9Fe,\r\n") && told.contains("\r\nCode: ABCD-EFGH\r\n"), "{told}");
    assert!(told.contains("\r\n..\r\nGood bye\r\n"), "a line with a dot does not end the mail");
    assert!(told.ends_with("\r\n.\r\nQUIT\r\n"), "{told}");
}

#[test]
fn four_is_for_now_and_five_for_ever() {
    for (answers, permanent, says) in [
        (&[("RCPT", "451 4.7.1 greylisted, try later")], false, "451"),
        (&[("RCPT", "550-5.1.1 no such user\r\n550 5.1.1 here")], true, "550): 5.1.1 no such user here"),
        (&[("DATA", "421 4.3.2 shutting down")], false, "4.3.2"),
        (
            &[(".\r\n", "554 5.7.1 spam: https://x/#token=SampleToken code ABCD-EFGH\u{7}")],
            true,
            "5.7.1 spam: […] code […]",
        ),
        (&[("MAIL", "530 5.7.0 log in first")], false, "5.7.0 log in first"),
        (&[("EHLO", "nonsense")], false, "response error"),
    ] {
        let (result, _) = sent("ada@example.org", answers);
        let error = result.unwrap_err();
        assert_eq!(error.permanent, permanent, "{error}");
        assert!(error.message.contains(says) && !error.message.contains(char::is_control), "{error}");
    }
}

#[test]
fn international_addresses_need_a_server_that_knows_them() {
    let (result, told) = sent("jürgen@bücher.example", &[]);
    result.unwrap();
    assert!(told.contains("MAIL FROM:<help@shop.example> SMTPUTF8 BODY=8BITMIME\r\n"), "{told}");
    assert!(told.contains("RCPT TO:<jürgen@xn--bcher-kva.example>\r\n"), "{told}");
    assert!(told.contains("\r\nTo: jürgen@xn--bcher-kva.example\r\n"), "RFC 6532: {told}");

    let (result, told) = sent("jürgen@example.org", &[("EHLO", "250-mx\r\n250 8BITMIME")]);
    let error = result.unwrap_err();
    assert!(error.permanent && error.message.contains("SMTPUTF8"), "{error}");
    assert!(!told.contains("MAIL"));
    sent("bücher@bücher.example", &[]).0.unwrap();
    sent("संपर्क@डाटामेल.भारत", &[]).0.unwrap();
    sent("ada@bücher.example", &[("EHLO", "250 mx")]).0.unwrap();
}

#[test]
fn starttls_is_never_done_without() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://ada:secret@{}", listener.local_addr().unwrap());
    let transport = Transport::from_config(Some(&url), Path::new("")).ok().unwrap();
    let server = listen(listener, &[("EHLO", "250-mx\r\n250 AUTH PLAIN LOGIN")]);
    let error = transport.send(&from(), "ada@example.org", &rendered("Hello"), "1", now()).unwrap_err();
    assert!(!error.permanent && error.message.contains("STARTTLS"), "{error}");
    drop(transport);
    let told = server.join().unwrap();
    assert!(!told.contains("AUTH") && !told.contains("MAIL"), "{told}");
}

#[test]
fn what_cannot_be_mailed_is_refused_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let transport = Transport::from_config(None, dir.path()).ok().unwrap();
    for (to, id) in [
        ("ada", "1"),
        ("ada@example.org\r\nBcc: eve@example.org", "1"),
        ("ada@example.org", "../1"),
        ("ada@example.org", ""),
    ] {
        assert!(transport.send(&from(), to, &rendered("Hello"), id, now()).unwrap_err().permanent, "{to:?} {id:?}");
    }
    let file = Transport::Files { dir: "/dev/null/mail".into() };
    let error = file.send(&from(), "ada@example.org", &rendered("Hello"), "1", now()).unwrap_err();
    assert!(!error.permanent && error.message.contains("/dev/null/mail"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn urls_say_how_the_connection_is_protected() {
    use Protection::{None as Plain, StartTls, Tls};
    let login = |user: &str, password: &str| Some(Credentials::new(user.to_owned(), password.to_owned()));
    for (url, protection, host, port, credentials) in [
        ("smtps://user:pass@mx.example:465", Tls, "mx.example", 465, login("user", "pass")),
        ("smtp://user:pass@mx.example:587/", StartTls, "mx.example", 587, login("user", "pass")),
        ("smtp://localhost:1025?tls=none", Plain, "localhost", 1025, None),
        ("smtps://mx.example", Tls, "mx.example", 465, None),
        ("smtp://mx.example", StartTls, "mx.example", 587, None),
        ("smtp://mail_catcher?tls=none", Plain, "mail_catcher", 25, None),
        ("smtp://[::1]:1025?tls=none", Plain, "::1", 1025, None),
        (
            "smtps://a%40b.example:p%3A%2F%3F%23%40%25%C3%BC+@10.0.0.1",
            Tls,
            "10.0.0.1",
            465,
            login("a@b.example", "p:/?#@%ü+"),
        ),
        ("smtps://user:a:b@mx.example", Tls, "mx.example", 465, login("user", "a:b")),
    ] {
        let server = Server::parse(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!((server.protection, server.host.as_str(), server.port), (protection, host, port), "{url}");
        assert!(server.login == credentials, "{url}");
        assert!(Transport::from_config(Some(url), Path::new("")).is_ok(), "{url}");
    }
}

#[test]
fn a_wrong_url_is_not_repeated() {
    for url in [
        "",
        "mx.example",
        "http://u:hunter2@mx.example",
        "SMTP//u:hunter2@mx.example",
        "smtp://u:hunter2@mx.example?tls=opportunistic",
        "smtp://u:hunter2@mx.example?tls=none&x=1",
        "smtps://u:hunter2@mx.example?tls=none",
        "smtps://u:hunter2@",
        "smtps://u:hunter2@:465",
        "smtps://u:hunter2@mx.example:0",
        "smtps://u:hunter2@mx.example:65536",
        "smtps://u:hunter2@mx.example:+25",
        "smtps://u:hunter2@mx.example:",
        "smtps://u:hunter2@mx.example/hello",
        "smtps://u:hunter2@mx ample",
        "smtps://u:hunter2@[::1",
        "smtps://u:hunter2@[mx]",
        "smtps://u:hunter2@::1:25",
        "smtps://hunter2@mx.example",
        "smtps://:hunter2@mx.example",
        "smtps://u:@mx.example",
        "smtps://u:hunter2%@mx.example",
        "smtps://u:hunter2%zz@mx.example",
        "smtps://u:hunter2%ff@mx.example",
        "smtps://u:hunter2%0a@mx.example",
        "smtps://u:hunter2#x@mx.example",
        "smtps://u:hunter2/x@mx.example",
        "smtps://u:hunter2?x@mx.example",
        "smtps://u:hunter2@x@mx.example",
        "smtps://u:hunter2%+1@mx.example",
    ] {
        let error = Transport::from_config(Some(url), Path::new("")).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert!(error.contains("SMTP URL") && !error.contains("hunter2") && !error.contains("mx.example"), "{error}");
    }
}
