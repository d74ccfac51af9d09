//! The keys made of the one configured secret: they seal what must be read again and MAC what must be recognised.

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::chance::Chance;
use crate::error::{Error, Result};

/// The configured secret, checked for being one.
pub struct MasterSecret(Zeroizing<Vec<u8>>);

/// What examples out of documents contain.
const SAMPLES: [&str; 7] = ["change", "secret", "example", "sample", "password", "doorstep", "0123456789"];

impl MasterSecret {
    /// At least 32 characters of some variety; examples out of documents are refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < 32 {
            return Err(format!("it has {} characters, and 32 are the least", text.len()));
        }
        let mut seen = [false; 256];
        text.bytes().for_each(|byte| {
            if let Some(seen) = seen.get_mut(usize::from(byte)) {
                *seen = true;
            }
        });
        if seen.iter().filter(|seen| **seen).count() < 10 {
            return Err("it repeats a few characters".to_owned());
        }
        let lower = text.to_lowercase();
        if let Some(sample) = SAMPLES.iter().find(|sample| lower.contains(**sample)) {
            return Err(format!("it contains {sample:?}, as an example out of a document would"));
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// A new secret as text: 256 bits, base64url.
    #[must_use]
    pub fn generate(chance: &Chance) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&chance.bytes::<32>()))
    }
}

/// What a MAC is for; a MAC made for one thing is never good for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// That a database belongs to this secret.
    Instance,
    RefreshToken,
    DeviceToken,
    MailedCode,
    /// Throttle keys, which would otherwise say who was tried.
    Throttle,
    /// What a social flow hands out: see [`crate::social_flow`].
    Flow,
}

/// Keys derived by HKDF-SHA256 (RFC 5869), one for each purpose.
pub struct Keyring {
    sealing: RandomizedNonceKey,
    instance: hmac::Key,
    refresh: hmac::Key,
    device: hmac::Key,
    code: hmac::Key,
    throttle: hmac::Key,
    flow: hmac::Key,
}

struct Bytes32;
impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

impl Keyring {
    pub fn new(secret: &MasterSecret) -> Result<Self> {
        let prk = Salt::new(HKDF_SHA256, b"doorstep keyring 1").extract(&secret.0);
        let derive = |label: &str| -> Result<Zeroizing<[u8; 32]>> {
            let mut key = Zeroizing::new([0; 32]);
            prk.expand(&[label.as_bytes()], Bytes32)?.fill(key.as_mut())?;
            Ok(key)
        };
        let mac = |label: &str| Ok::<_, Error>(hmac::Key::new(hmac::HMAC_SHA256, derive(label)?.as_ref()));
        Ok(Self {
            sealing: RandomizedNonceKey::new(&AES_256_GCM, derive("seal")?.as_ref())?,
            instance: mac("instance")?,
            refresh: mac("refresh token")?,
            device: mac("device token")?,
            code: mac("mailed code")?,
            throttle: mac("throttle")?,
            flow: mac("social flow")?,
        })
    }

    fn key(&self, purpose: Purpose) -> &hmac::Key {
        match purpose {
            Purpose::Instance => &self.instance,
            Purpose::RefreshToken => &self.refresh,
            Purpose::DeviceToken => &self.device,
            Purpose::MailedCode => &self.code,
            Purpose::Throttle => &self.throttle,
            Purpose::Flow => &self.flow,
        }
    }

    /// HMAC-SHA256 over the parts, each with its length before it, so that no two lists of parts look alike.
    #[must_use]
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(self.key(purpose));
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// Whether `mac` is the MAC of the parts, in constant time.
    #[must_use]
    pub fn verifies(&self, purpose: Purpose, parts: &[&[u8]], mac: &[u8]) -> bool {
        same(&self.mac(purpose, parts), mac)
    }

    /// Seals (AES-256-GCM, nonce in front) for one place: what was sealed for another does not open.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let mut text = plain.to_vec();
        let nonce = self.sealing.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Opens what [`Keyring::seal`] sealed for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let broken = || Error::Broken(format!("a sealed value of {place:?} does not open"));
        let (nonce, text) = sealed.split_at_checked(12).ok_or_else(broken)?;
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length =
            self.sealing.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text).map_err(|_| broken())?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Equality in constant time.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(secret: &str) -> Keyring {
        Keyring::new(&MasterSecret::parse(secret).unwrap()).unwrap()
    }

    const A: &str = "kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4a";
    const B: &str = "kZ3v9QmT1xWc7RbY5nLp2HsDf8JgUe4b";

    #[test]
    fn opens_only_what_it_sealed_for_the_place() {
        let keys = keyring(A);
        let sealed = keys.seal("here", b"plain").unwrap();
        assert_eq!(keys.open("here", &sealed).unwrap().as_slice(), b"plain");
        assert!(keys.open("there", &sealed).is_err());
        assert!(keyring(B).open("here", &sealed).is_err());
        assert!(keys.open("here", &sealed[..5]).is_err());
        assert_ne!(sealed, keys.seal("here", b"plain").unwrap());
    }

    #[test]
    fn macs_differ_by_purpose_secret_and_where_parts_end() {
        let keys = keyring(A);
        let mac = keys.mac(Purpose::RefreshToken, &[b"ab", b"c"]);
        assert!(keys.verifies(Purpose::RefreshToken, &[b"ab", b"c"], &mac));
        assert!(!keys.verifies(Purpose::RefreshToken, &[b"a", b"bc"], &mac));
        assert!(!keys.verifies(Purpose::DeviceToken, &[b"ab", b"c"], &mac));
        assert!(!keyring(B).verifies(Purpose::RefreshToken, &[b"ab", b"c"], &mac));
    }

    #[test]
    fn ad_09_refuses_samples_and_weak_secrets() {
        for weak in [
            "",
            "short",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "please-change-me-please-change-me-now",
            "abcabcabcabcabcabcabcabcabcabcabcabcabc",
            "this-is-an-example-kZ3v9QmT1xWc7RbY5nLp",
        ] {
            assert!(MasterSecret::parse(weak).is_err(), "{weak}");
        }
        assert!(MasterSecret::parse(&MasterSecret::generate(&Chance::System)).is_ok());
    }
}
