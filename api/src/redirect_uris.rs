//! Where an app may have people sent back to (RFC 9700, section 2.1; RFC 8252, sections 7 and 8.3).

use std::fmt;

use oauth2::url::{Url, form_urlencoded};
use serde::{Deserialize, Deserializer, de};

/// A place to send people back to, found in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One that was found in the list when its flow began.
    #[must_use]
    pub const fn of_flow(uri: String) -> Self {
        Self(uri)
    }

    /// The same with parameters added to its query.
    #[must_use]
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let divider = match self.0.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{divider}{query}", self.0)
    }
}

/// The list of them, each checked when it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedirectUris(Vec<String>);

/// Hosts of this machine that cannot be anybody else's; a native app listens there on any port it gets.
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];
/// Longer than anybody writes.
const LONGEST: usize = 2000;

impl RedirectUris {
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        for entry in entries {
            check(entry).map_err(|why| format!("social.redirect_uris: {entry:?} is refused: {why}"))?;
        }
        Ok(Self(entries.to_vec()))
    }

    /// The one asked for, where it is in the list: letter by letter, but for the port of a native app's loopback.
    #[must_use]
    pub fn find(&self, asked: &str) -> Option<RedirectUri> {
        let found = self.0.iter().any(|entry| entry == asked || is_same_but_port(entry, asked));
        found.then(|| RedirectUri(asked.to_owned()))
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for RedirectUris {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::parse(&Vec::<String>::deserialize(input)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the entry names no port, and what is asked for is the same with one (RFC 8252, section 7.3).
fn is_same_but_port(entry: &str, asked: &str) -> bool {
    LOOPBACK.iter().any(|host| {
        let (Some(rest), Some(asked)) = (entry.strip_prefix(host), asked.strip_prefix(host)) else { return false };
        let asked = asked.strip_prefix(':').filter(|_| rest.is_empty() || rest.starts_with(['/', '?']));
        let Some(asked) = asked else { return false };
        let digits = asked.bytes().take_while(u8::is_ascii_digit).count();
        let Some((port, asked)) = asked.split_at_checked(digits) else { return false };
        !port.starts_with('0') && port.parse::<u16>().is_ok() && asked == rest
    })
}

fn check(entry: &str) -> Result<(), &'static str> {
    if entry.len() > LONGEST {
        return Err("it is longer than 2000 characters");
    }
    if !entry.bytes().all(|b| b.is_ascii_graphic()) || entry.contains(['\\', '"', '<', '>']) {
        return Err("it has a space, a control character, a backslash, or a letter that is not ASCII");
    }
    if entry.contains('#') {
        return Err("what is behind # no server sees");
    }
    let (scheme, rest) = entry.split_once(':').ok_or("it is not absolute, such as https://help.shop.example/back")?;
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("it names a user");
    }
    if Url::parse(entry).is_err() {
        return Err("it is not an address");
    }
    match (scheme, authority) {
        ("https", Some(authority)) if !authority.is_empty() => Ok(()),
        ("https", _) => Err("it names no host"),
        ("http", Some(authority)) if is_here(authority) => Ok(()),
        ("http", _) => Err("http:// is for 127.0.0.1, [::1] and localhost alone"),
        _ if is_private(scheme) && rest.starts_with('/') => Ok(()),
        _ => Err("use https://, or an app's own scheme with a dot in it, such as com.example.app:/back"),
    }
}

fn is_here(authority: &str) -> bool {
    ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| {
        let rest = authority.strip_prefix(host);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

/// A domain name turned around (RFC 8252, section 7.1): nobody else's scheme has a dot.
fn is_private(scheme: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b);
    scheme.contains('.') && scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> RedirectUris {
        RedirectUris::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn an_entry_is_an_address_of_an_app() {
        list(&[
            "https://help.shop.example/back",
            "https://help.shop.example:8443/back?from=doorstep",
            "http://localhost:3000/back",
            "http://127.0.0.1/back",
            "http://[::1]:3000/back",
            "com.example.app:/back",
            "com.example.app://back",
        ]);
        let wrong = [
            "",
            "/back",
            "//evil.example/back",
            "https:/help.shop.example",
            "https:///evil.example",
            "https://",
            "https://a@evil.example/",
            "https://a:b@evil.example/",
            "https://help.shop.example/back#x",
            "https://help.shop.example\\@evil.example/",
            "https://help.shop.example/ back",
            "https://help.shop.example/\tback",
            "https://help.shop.example/back\n",
            "https://bücher.example/back",
            "HTTPS://help.shop.example/back",
            "https://help.shop.example:99999/",
            "http://help.shop.example/back",
            "http://localhost.evil.example/back",
            "http://127.0.0.1.evil.example/back",
            "http://127.0.0.1:http/back",
            "javascript:alert(1)",
            "javascript://help.shop.example/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "app:/back",
            "com.example.app:back",
            "Com.Example.App:/back",
        ];
        for entry in wrong {
            assert!(RedirectUris::parse(&[entry.to_owned()]).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn oa_22_only_what_is_in_the_list_letter_by_letter() {
        let uris = list(&["https://app.example/back", "https://app.example/b?x=1"]);
        assert_eq!(uris.find("https://app.example/back").unwrap().as_str(), "https://app.example/back");
        assert!(uris.find("https://app.example/b?x=1").is_some());
        let wrong = [
            "",
            "https://app.example@evil.example/back",
            "https://app@evil.example/back",
            "//evil.example",
            "/////evil.example",
            "/\\evil.example",
            "https://app.example.evil.example/back",
            "https://app.evil/back",
            "javascript:alert(1)",
            "%2f%2fevil.example",
            "https://app.example/%2f%2fevil.example",
            "https://app.example/back\t",
            "https://app.example/ba\nck",
            " https://app.example/back",
            "https://app.example:443/back",
            "https://app.example:8443/back",
            "https://app.example/back#",
            "https://app.example/back#x",
            "https://app.example/back?",
            "https://app.example/back?next=//evil.example",
            "https://app.example/back/",
            "https://app.example/back/../evil",
            "https://app.example/%62ack",
            "https://APP.example/back",
            "HTTPS://app.example/back",
            "http://app.example/back",
            "https://xn--pp-1ia.example/back",
            "https://\u{430}pp.example/back",
            "https://app.example./back",
            "https://app.example\\@evil.example/back",
            "https://app.example/back\0",
        ];
        for asked in wrong {
            assert_eq!(uris.find(asked), None, "{asked:?}");
        }
        assert_eq!(RedirectUris::default().find(""), None);
    }

    #[test]
    fn oa_25_a_native_app_listens_on_any_port_of_its_own_machine() {
        let uris = list(&[
            "http://127.0.0.1/back",
            "http://[::1]/back?x=1",
            "http://localhost/local",
            "http://127.0.0.1:5000/fixed",
            "com.example.app:/back",
        ]);
        let right = [
            "http://127.0.0.1/back",
            "http://127.0.0.1:1/back",
            "http://127.0.0.1:49152/back",
            "http://127.0.0.1:65535/back",
            "http://[::1]:49152/back?x=1",
            "http://localhost/local",
            "http://127.0.0.1:5000/fixed",
            "com.example.app:/back",
        ];
        for asked in right {
            assert_eq!(uris.find(asked).unwrap().as_str(), asked);
        }
        let wrong = [
            "http://127.0.0.1:0/back",
            "http://127.0.0.1:65536/back",
            "http://127.0.0.1:080/back",
            "http://127.0.0.1:+80/back",
            "http://127.0.0.1:8 0/back",
            "http://127.0.0.1:/back",
            "http://127.0.0.1:80",
            "http://127.0.0.1:80/",
            "http://127.0.0.1:80/other",
            "http://127.0.0.1:80/back/",
            "http://127.0.0.1:80/back#x",
            "http://127.0.0.1:80/back?x=1",
            "http://127.0.0.1:80@evil.example/back",
            "http://127.0.0.1:80.evil.example/back",
            "http://127.0.0.1.evil.example/back",
            "http://127.0.0.2:80/back",
            "http://127.1:80/back",
            "https://127.0.0.1:80/back",
            "http://[::1]:80/back",
            "http://[::2]:80/back?x=1",
            "http://localhost:80/local",
            "http://localhost:49152/back",
            "http://127.0.0.1:5001/fixed",
            "http://public.example:80/back",
            "com.example.app://back",
            "com.example.app:/back/",
            "com.example.app2:/back",
        ];
        for asked in wrong {
            assert_eq!(uris.find(asked), None, "{asked:?}");
        }
    }

    #[test]
    fn parameters_are_added_to_what_is_there() {
        let uris = list(&["com.example.app:/back", "https://app.example/b?x=1", "https://app.example/c?"]);
        let with = |asked: &str| uris.find(asked).unwrap().with(&[("code", "a&b"), ("state", "ü")]);
        assert_eq!(with("com.example.app:/back"), "com.example.app:/back?code=a%26b&state=%C3%BC");
        assert_eq!(with("https://app.example/b?x=1"), "https://app.example/b?x=1&code=a%26b&state=%C3%BC");
        assert_eq!(with("https://app.example/c?"), "https://app.example/c?code=a%26b&state=%C3%BC");
    }
}
