//! What a device is called, by its `User-Agent`, in words of ours alone, and from about where it came: neither says who
//! somebody is, nor anything that a stranger has written.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Browsers and programs by the words that give them away; the first that fits, for most call themselves by several.
const BROWSERS: [(&str, &str); 16] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("CFNetwork/", "App"),
    ("okhttp/", "App"),
    ("Dart/", "App"),
    ("Alamofire/", "App"),
];
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Darwin", "Apple"),
    ("Linux", "Linux"),
];

/// A device, as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub browser: Option<String>,
    pub system: Option<String>,
}

impl Device {
    #[must_use]
    pub fn of(user_agent: Option<&str>) -> Self {
        let first = |words: &[(&str, &str)]| {
            let found = words.iter().find(|(mark, _)| user_agent.is_some_and(|said| said.contains(mark)));
            found.map(|(_, word)| (*word).to_owned())
        };
        Self { browser: first(&BROWSERS), system: first(&SYSTEMS) }
    }

    /// "Firefox on Linux"; nothing where nothing is known.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match (&self.browser, &self.system) {
            (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
            (one, other) => one.clone().or_else(|| other.clone()),
        }
    }
}

/// The network that an address is of: a /24, or a /48 of IPv6, which is a street rather than a house.
#[must_use]
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_called_by_our_words() {
        let rows = [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Some("Firefox on Linux")),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                Some("Safari on iPhone"),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0",
                Some("Edge on Windows"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36",
                Some("Chrome on Android"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                Some("Safari on macOS"),
            ),
            ("Shop/42 CFNetwork/3826 Darwin/24.5.0", Some("App on Apple")),
            (
                "Mozilla/5.0 (Linux; Android 14; motorola edge 50; Motorola Edge) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36",
                Some("Chrome on Android"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36 EdgA/137.0.0.0",
                Some("Edge on Android"),
            ),
            ("okhttp/5.0.0", Some("App")),
            ("curl/8.5.0", Some("curl")),
            ("<b>You have won</b> http://evil.example", None),
            ("", None),
        ];
        for (user_agent, name) in rows {
            assert_eq!(Device::of(Some(user_agent)).name().as_deref(), name, "{user_agent}");
        }
        assert_eq!(Device::of(None).name(), None);
    }

    #[test]
    fn an_address_is_told_coarsely() {
        let rows = [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ];
        for (address, network) in rows {
            assert_eq!(network_of(address.parse().unwrap()), network);
        }
    }
}
