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
#[path = "transport_tests.rs"]
mod tests;
