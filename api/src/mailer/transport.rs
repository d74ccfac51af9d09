//! Hands a rendered mail to an SMTP server, or writes it to a directory.

use std::error::Error as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use doorstep_core::clock::Timestamp;
use doorstep_core::email::EmailAddress;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MessageId};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, Message, SmtpTransport, Transport as _};
use zeroize::Zeroizing;

use super::render::Rendered;

/// For connecting, and for each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest line that SMTP carries (RFC 5322, section 2.1.1).
const LONGEST_LINE: usize = 998;

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
const AUTO_RESPONSE_SUPPRESS: HeaderName = HeaderName::new_from_ascii_str("X-Auto-Response-Suppress");
const CONTENT_LANGUAGE: HeaderName = HeaderName::new_from_ascii_str("Content-Language");

/// Where mails go. Blocks while it sends.
pub enum Transport {
    Smtp(SmtpTransport),
    /// One `.eml` per mail.
    Files {
        dir: PathBuf,
    },
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// Trying again would not help.
    pub permanent: bool,
    /// One line without control characters and without the mail's secrets.
    pub message: String,
}

impl Transport {
    /// The server of the URL, or the directory where there is none. Nothing is connected or written yet.
    ///
    /// # Errors
    /// Says what is wrong with the URL, never what it says: it holds a password.
    pub fn from_config(smtp_url: Option<&str>, mail_dir: &Path) -> Result<Self, String> {
        match smtp_url {
            Some(url) => Server::parse(url)?.transport().map(Self::Smtp),
            None => Ok(Self::Files { dir: mail_dir.to_owned() }),
        }
    }

    /// Sends one mail; `message_id` (letters, digits and dashes) makes its `Message-ID` and its file's name.
    ///
    /// # Errors
    /// The server's or the disk's refusal.
    pub fn send(
        &self,
        from: &Mailbox,
        to: &str,
        rendered: &Rendered,
        message_id: &str,
        now: Timestamp,
    ) -> Result<(), SendError> {
        if message_id.is_empty() || !message_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(never("a message id has letters, digits and dashes only"));
        }
        let letter = Letter { from, to, rendered, message_id, now };
        match self {
            Self::Smtp(server) => {
                // a server need not know 8BITMIME, but every reader knows quoted-printable
                let message = letter.message(ContentTransferEncoding::QuotedPrintable)?;
                server.send(&message).map(drop).map_err(|e| refusal(&e, to))
            }
            Self::Files { dir } => {
                let message = Zeroizing::new(letter.message(ContentTransferEncoding::EightBit)?.formatted());
                write_whole(dir, &letter.file_name(), &message).map_err(|e| SendError {
                    permanent: false,
                    message: format!("cannot write to the mail directory {}: {e}", dir.display()),
                })
            }
        }
    }
}

/// What is needed to put a mail into its envelope.
struct Letter<'a> {
    from: &'a Mailbox,
    to: &'a str,
    rendered: &'a Rendered,
    message_id: &'a str,
    now: Timestamp,
}

impl Letter<'_> {
    fn message(&self, beyond_ascii: ContentTransferEncoding) -> Result<Message, SendError> {
        let to = EmailAddress::parse(self.to).map_err(|e| never(&e.to_string()))?;
        // parsed by us already; lettre's own parser refuses letters of some scripts
        let to = Address::new_dangerous(to.local_part(), to.domain());
        let seconds = u64::try_from(self.now.as_seconds()).unwrap_or_default();
        let date = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(seconds))
            .filter(|_| seconds <= 253_402_300_799)
            .ok_or_else(|| never("the mail's date is after the year 9999"))?;
        let domain = Some(self.from.email.domain()).filter(|domain| domain.is_ascii()).unwrap_or("localhost");
        let part = |kind: ContentType, text: &str| SinglePart::builder().header(kind).body(encoded(text, beyond_ascii));
        let parts = MultiPart::alternative()
            .singlepart(part(ContentType::TEXT_PLAIN, &self.rendered.text))
            .singlepart(part(ContentType::TEXT_HTML, &self.rendered.html));
        // else lettre reads it back from the header, with that same parser
        let envelope =
            Envelope::new(Some(self.from.email.clone()), vec![to.clone()]).map_err(|e| never(&e.to_string()))?;
        Message::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .to(to.into())
            .subject(self.rendered.subject.replace(char::is_control, " "))
            .date(date)
            .header(MessageId::from(format!("<{}@{domain}>", self.message_id)))
            .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
            .raw_header(HeaderValue::new(AUTO_RESPONSE_SUPPRESS, "All".to_owned()))
            .raw_header(HeaderValue::new(CONTENT_LANGUAGE, self.rendered.language.to_owned()))
            .multipart(parts)
            .map_err(|e| never(&e.to_string()))
    }

    /// The moment and the id, so that a listing shows the order of sending.
    fn file_name(&self) -> String {
        let time = DateTime::<Utc>::from_timestamp_micros(self.now.as_micros()).unwrap_or_default();
        format!("{}-{}.eml", time.format("%Y%m%dT%H%M%S%.6fZ"), self.message_id)
    }
}

/// Keeps a text as it is wherever it may be: lettre breaks up links of 76 characters, and takes base64 for umlauts.
fn encoded(text: &str, beyond_ascii: ContentTransferEncoding) -> Body {
    let text = text.replace('\r', "").replace('\n', "\r\n");
    let fits = !text.contains('\0') && text.split("\r\n").all(|line| line.len() <= LONGEST_LINE);
    let encoding = match (fits, text.is_ascii()) {
        (true, true) => ContentTransferEncoding::SevenBit,
        (true, false) => beyond_ascii,
        (false, _) => ContentTransferEncoding::QuotedPrintable,
    };
    if encoding == ContentTransferEncoding::QuotedPrintable {
        // never refuses: quoted-printable takes any text
        return Body::new_with_encoding(text, encoding).unwrap_or_else(Body::new);
    }
    Body::dangerous_pre_encoded(text.into_bytes(), encoding)
}

/// Writes a file that is either whole or absent, for the owner's eyes only.
fn write_whole(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let draft = dir.join(format!(".{name}.tmp"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn never(message: &str) -> SendError {
    SendError { permanent: true, message: message.to_owned() }
}

/// What a server's refusal, or its silence, means for the mail.
fn refusal(error: &lettre::transport::smtp::Error, to: &str) -> SendError {
    let silent = |e: &io::Error| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    let text = match error.source().and_then(|source| source.downcast_ref()).filter(|e| silent(e)) {
        Some(_) => format!("the SMTP server did not answer within {} seconds", TIMEOUT.as_secs()),
        None => error.to_string(),
    };
    // a refused login says nothing about the mail, which can go when the operator has put it right
    let login = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
    let beyond_server = error.is_client() && !to.is_ascii() && text.contains("SMTPUTF8");
    SendError { permanent: (error.is_permanent() && !login) || beyond_server, message: scrubbed(&text) }
}

/// A server may quote the mail that it refuses: what could be its link or its code is left out.
fn scrubbed(text: &str) -> String {
    let secret = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let code = bare.split_once('-').is_some_and(|(front, back)| front.len() == 4 && back.len() == 4);
        let long = bare.len() > 32 && !bare.contains(['.', '@']);
        code || long || word.contains("://") || word.contains(['#', '='])
    };
    let text = text.replace(char::is_control, " ");
    let words: Vec<&str> = text.split_whitespace().map(|word| if secret(word) { "[…]" } else { word }).collect();
    words.join(" ").chars().take(300).collect()
}

/// How the connection is protected. Nothing is ever decided by what the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    Tls,
    StartTls,
    None,
}

/// An SMTP server as the configuration names it.
struct Server {
    protection: Protection,
    host: String,
    port: u16,
    login: Option<Credentials>,
}

impl Server {
    fn parse(url: &str) -> Result<Self, String> {
        const FORMS: &str = "the SMTP URL must be smtps://user:password@host:465 (TLS), \
                             smtp://user:password@host:587 (STARTTLS) or smtp://host:1025?tls=none (no encryption)";
        const LOGIN: &str = "the SMTP URL's user and password must both be there, with any of :/?#@% in them \
                             percent-encoded (as in %40 for @)";
        let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (protection, usual_port) = match (scheme, query) {
            ("smtps", None) => (Protection::Tls, 465),
            ("smtp", None) => (Protection::StartTls, 587),
            ("smtp", Some("tls=none")) => (Protection::None, 25),
            _ => return Err(FORMS.to_owned()),
        };
        let (login, address) = rest.rsplit_once('@').map_or((None, rest), |(login, address)| (Some(login), address));
        let login = login.map(|login| credentials(login).ok_or(LOGIN)).transpose()?;
        let (host, port) = host_and_port(address.strip_suffix('/').unwrap_or(address))
            .ok_or("the SMTP URL's host or port is not valid, or its password is not percent-encoded")?;
        Ok(Self { protection, host, port: port.unwrap_or(usual_port), login })
    }

    fn transport(self) -> Result<SmtpTransport, String> {
        let parameters = || {
            TlsParameters::new(self.host.clone()).map_err(|e| format!("cannot prepare TLS for the SMTP server: {e}"))
        };
        let tls = match self.protection {
            Protection::Tls => Tls::Wrapper(parameters()?),
            Protection::StartTls => Tls::Required(parameters()?),
            Protection::None => Tls::None,
        };
        let builder = SmtpTransport::builder_dangerous(self.host).port(self.port).tls(tls).timeout(Some(TIMEOUT));
        Ok(self.login.into_iter().fold(builder, lettre::transport::smtp::SmtpTransportBuilder::credentials).build())
    }
}

fn credentials(login: &str) -> Option<Credentials> {
    let (user, password) = login.split_once(':')?;
    let read =
        |text: &str| percent_decoded(text).filter(|text| !text.is_empty() && !text.chars().any(char::is_control));
    (!login.contains(['/', '#', '@'])).then_some(())?;
    Some(Credentials::new(read(user)?, read(password)?))
}

/// Reads `host`, `host:port`, `[ipv6]` and `[ipv6]:port`.
fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (host.parse::<Ipv6Addr>().ok()?.to_string(), port)
    } else {
        let (host, port) = address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)));
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (!host.is_empty() && host.bytes().all(name)).then_some(())?;
        (host.to_owned(), port)
    };
    let number = |port: &str| port.parse().ok().filter(|port| *port != 0);
    match port {
        None => Some((host, None)),
        // a number may be written with a plus sign, a port may not
        Some(port) => Some((host, Some(number(port).filter(|_| !port.starts_with('+'))?))),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
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
            let error =
                Transport::from_config(Some(url), Path::new("")).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(
                error.contains("SMTP URL") && !error.contains("hunter2") && !error.contains("mx.example"),
                "{error}"
            );
        }
    }
}
