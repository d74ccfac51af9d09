//! Secrets we hand out. A plain secret and its hash are two types; the plain one has no `Debug` and is zeroised.

use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::id::{AccountId, ChallengeId, DeviceId, FlowId, SessionId};
use crate::keyring::{Keyring, Purpose, sha256};

/// The secret of a mailed link: 256 bits as 43 characters of base64url. One spelling only.
pub struct OpaqueToken(Zeroizing<[u8; 32]>);

impl OpaqueToken {
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        Some(Self::new(bytes.try_into().ok()?))
    }

    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(self.0.as_slice()))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }
}

/// Characters of a mailed code: none that is mistaken for another.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const CODE_LENGTH: usize = 8;

/// The code of a mail: 8 characters (40 bits), shown as `ABCD-EFGH`, read in any case, with or without dash.
pub struct MailedCode(Zeroizing<String>);

impl MailedCode {
    #[must_use]
    pub fn new(random: [u8; CODE_LENGTH]) -> Self {
        let pick = |byte: &u8| CODE_ALPHABET.get(usize::from(*byte % 32)).copied().map_or('A', char::from);
        Self(Zeroizing::new(random.iter().map(pick).collect()))
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 32 {
            return None;
        }
        let code: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
        let known = code.bytes().all(|byte| CODE_ALPHABET.contains(&byte));
        (known && code.len() == CODE_LENGTH).then(|| Self(Zeroizing::new(code)))
    }

    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let (front, back) = self.0.split_at_checked(CODE_LENGTH / 2).unwrap_or(("", ""));
        Zeroizing::new(format!("{front}-{back}"))
    }

    /// What is stored of it: 40 bits can be tried out, so this takes a key that is not in the database.
    #[must_use]
    pub fn mac(&self, keys: &Keyring, challenge: ChallengeId) -> [u8; 32] {
        keys.mac(Purpose::MailedCode, &[challenge.0.as_bytes(), self.0.as_bytes()])
    }
}

const REFRESH_PREFIX: &str = "drt1_";
const DEVICE_PREFIX: &str = "ddt1_";

/// A refresh token describes itself: session, counter and a MAC. Nothing of it is stored, garbage is refused
/// without the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    pub session: SessionId,
    pub counter: i64,
}

impl RefreshToken {
    #[must_use]
    pub fn reveal(self, keys: &Keyring) -> Zeroizing<String> {
        let counter = self.counter.to_be_bytes();
        let mac = keys.mac(Purpose::RefreshToken, &[self.session.0.as_bytes(), &counter]);
        let bytes = Zeroizing::new([self.session.0.as_bytes().as_slice(), &counter, &mac].concat());
        Zeroizing::new(format!("{REFRESH_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    #[must_use]
    pub fn parse(text: &str, keys: &Keyring) -> Option<Self> {
        let (session, counter, mac) = split::<16, 8>(text, REFRESH_PREFIX)?;
        keys.verifies(Purpose::RefreshToken, &[&session, &counter], &mac)
            .then(|| Self { session: SessionId(Uuid::from_bytes(session)), counter: i64::from_be_bytes(counter) })
    }
}

/// Says that a device has signed in to an account before, or set its password by mail, so that a stranger's wrong passwords
/// do not slow it. It is no way in. It dies with the account's security epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceToken {
    pub device: DeviceId,
    pub account: AccountId,
    pub epoch: i64,
    /// A password, or a secret that was mailed, was shown on it. Whoever came by a provider has not shown that they
    /// know any: what they are given counts for nothing when passwords are guessed.
    pub knows: bool,
}

impl DeviceToken {
    #[must_use]
    pub fn reveal(self, keys: &Keyring) -> Zeroizing<String> {
        let ids = self.ids();
        let epoch = self.epoch.to_be_bytes();
        let mac = if self.knows {
            keys.mac(Purpose::DeviceToken, &[&ids, &epoch])
        } else {
            keys.mac(Purpose::DeviceToken, &[&ids, &epoch, b"knows nothing"])
        };
        let bytes = [ids.as_slice(), &epoch, &mac].concat();
        Zeroizing::new(format!("{DEVICE_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    #[must_use]
    pub fn parse(text: &str, keys: &Keyring) -> Option<Self> {
        let (ids, epoch, mac) = split::<32, 8>(text, DEVICE_PREFIX)?;
        let (device, account) = ids.split_at_checked(16)?;
        let knows = keys.verifies(Purpose::DeviceToken, &[&ids, &epoch], &mac);
        let good = knows || keys.verifies(Purpose::DeviceToken, &[&ids, &epoch, b"knows nothing"], &mac);
        good.then_some(Self {
            device: DeviceId(Uuid::from_slice(device).ok()?),
            account: AccountId(Uuid::from_slice(account).ok()?),
            epoch: i64::from_be_bytes(epoch),
            knows,
        })
    }

    fn ids(self) -> [u8; 32] {
        let mut ids = [0; 32];
        let (device, account) = ids.split_at_mut(16);
        device.copy_from_slice(self.device.0.as_bytes());
        account.copy_from_slice(self.account.0.as_bytes());
        ids
    }
}

/// What a social flow hands out, to be shown again at its next step. Whether it is that step is for the flow to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowToken {
    /// Goes to the provider and comes back by the browser.
    State,
    /// Goes to the app by the browser.
    Code,
    /// Goes to the app alone, while an address is proven.
    Continuation,
}

impl FlowToken {
    const fn prefix(self) -> &'static str {
        match self {
            Self::State => "dfs1_",
            Self::Code => "dfc1_",
            Self::Continuation => "dft1_",
        }
    }

    #[must_use]
    pub fn reveal(self, flow: FlowId, keys: &Keyring) -> Zeroizing<String> {
        let mac = Self::mac(self.prefix(), flow, keys);
        let bytes = Zeroizing::new([flow.0.as_bytes().as_slice(), &mac].concat());
        Zeroizing::new(format!("{}{}", self.prefix(), BASE64URL_NOPAD.encode(&bytes)))
    }

    #[must_use]
    pub fn parse(self, text: &str, keys: &Keyring) -> Option<FlowId> {
        let (flow, [], mac) = split::<16, 0>(text, self.prefix())?;
        let flow = FlowId(Uuid::from_bytes(flow));
        keys.verifies(Purpose::Flow, &[self.prefix().as_bytes(), flow.0.as_bytes()], &mac).then_some(flow)
    }

    /// The nonce that an id token of this flow must carry (OpenID Connect Core, section 3.1.2.1).
    #[must_use]
    pub fn nonce(flow: FlowId, keys: &Keyring) -> String {
        BASE64URL_NOPAD.encode(&Self::mac("nonce", flow, keys))
    }

    /// Our own PKCE verifier towards the provider (RFC 7636, section 4.1): 43 characters, another for each flow.
    #[must_use]
    pub fn verifier(flow: FlowId, keys: &Keyring) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(&Self::mac("verifier", flow, keys)))
    }

    fn mac(what: &str, flow: FlowId, keys: &Keyring) -> [u8; 32] {
        keys.mac(Purpose::Flow, &[what.as_bytes(), flow.0.as_bytes()])
    }
}

/// Cuts a prefixed base64url text into two fixed parts and a MAC.
fn split<const A: usize, const B: usize>(text: &str, prefix: &str) -> Option<([u8; A], [u8; B], [u8; 32])> {
    let encoded = text.strip_prefix(prefix)?;
    if encoded.len() > 128 {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
    let (a, rest) = bytes.split_at_checked(A)?;
    let (b, mac) = rest.split_at_checked(B)?;
    Some((a.try_into().ok()?, b.try_into().ok()?, mac.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::MasterSecret;

    fn keys() -> Keyring {
        Keyring::new(&MasterSecret::parse("kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a").unwrap()).unwrap()
    }

    #[test]
    fn rs_12_a_mailed_token_has_one_spelling() {
        let text = OpaqueToken::new([7; 32]).reveal();
        assert!(OpaqueToken::parse(&text).is_some());
        let swapped: String = text
            .chars()
            .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        for other in [&text[..42], &format!("{}A", *text), &format!("{}=", *text), &format!(" {}", *text)] {
            assert!(OpaqueToken::parse(other).is_none(), "{other}");
        }
        assert!(OpaqueToken::parse(&swapped).is_none_or(|token| token.hash() != OpaqueToken::new([7; 32]).hash()));
        // the last character carries two bits that must be zero
        let mut twisted = text.to_string();
        twisted.pop();
        twisted.push('d');
        assert!(OpaqueToken::parse(&twisted).is_none());
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = MailedCode::new([0, 1, 2, 3, 250, 251, 252, 253]);
        let shown = code.reveal().to_string();
        let id = ChallengeId(Uuid::nil());
        let mac = code.mac(&keys(), id);
        for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")] {
            assert_eq!(MailedCode::parse(&typed).unwrap().mac(&keys(), id), mac, "{typed}");
        }
        for wrong in ["", "ABCD", "ABCD-EFG1", "ABCD-EFGHJ", "ÄBCD-EFGH"] {
            assert!(MailedCode::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn oa_07_each_flow_has_a_verifier_and_a_nonce_of_its_own() {
        let keys = keys();
        let flows = [1, 2, 3].map(|n| FlowId(Uuid::from_u128(n)));
        let verifiers = flows.map(|flow| FlowToken::verifier(flow, &keys).to_string());
        let nonces = flows.map(|flow| FlowToken::nonce(flow, &keys));
        let distinct: std::collections::BTreeSet<&String> = verifiers.iter().chain(&nonces).collect();
        assert_eq!(distinct.len(), 6);
        assert!(verifiers.iter().all(|verifier| (43..=128).contains(&verifier.len())));
    }

    #[test]
    fn tokens_that_describe_themselves_cannot_be_made_up() {
        let keys = keys();
        let token = RefreshToken { session: SessionId(Uuid::from_u128(5)), counter: 9 };
        let text = token.reveal(&keys);
        assert_eq!(RefreshToken::parse(&text, &keys), Some(token));
        let next = RefreshToken { counter: 10, ..token }.reveal(&keys);
        let mixed = format!("{}{}", &text[..40], &next[40..]);
        assert_eq!(RefreshToken::parse(&mixed, &keys), None);
        assert_eq!(RefreshToken::parse("drt1_", &keys), None);
        assert_eq!(RefreshToken::parse(&text[1..], &keys), None);

        let flow = FlowId(Uuid::from_u128(6));
        let state = FlowToken::State.reveal(flow, &keys);
        assert_eq!(FlowToken::State.parse(&state, &keys), Some(flow));
        for other in [FlowToken::Code, FlowToken::Continuation] {
            let disguised = state.replacen("dfs1_", &other.reveal(flow, &keys)[..5], 1);
            assert_eq!(other.parse(&state, &keys), None);
            assert_eq!(other.parse(&disguised, &keys), None, "a state is no {other:?}");
        }
        let next = FlowToken::State.reveal(FlowId(Uuid::from_u128(7)), &keys);
        assert_eq!(FlowToken::State.parse(&format!("{}{}", &state[..40], &next[40..]), &keys), None);

        let (id, account) = (DeviceId(Uuid::from_u128(1)), AccountId(Uuid::from_u128(2)));
        let device = DeviceToken { device: id, account, epoch: 3, knows: true };
        assert_eq!(DeviceToken::parse(&device.reveal(&keys), &keys), Some(device));
        let stranger = DeviceToken { knows: false, ..device };
        assert_eq!(DeviceToken::parse(&stranger.reveal(&keys), &keys), Some(stranger), "and it does not come to know");
        assert_eq!(DeviceToken::parse(&text, &keys), None);
    }
}
