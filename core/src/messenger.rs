//! The messenger widget: what somebody said in it becomes a signed-in customer's where the desk's server signs that the
//! device is theirs (a proof by signature). The signature names the account, so that it is good for no other (rule 5).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::access_token::AccessClaims;
use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::error::{Error, Result};
use crate::id::AccountId;
use crate::idempotency::IdempotencyKey;
use crate::identity::{IdentityKey, Proof, ProofMethod};
use crate::keyring::sha256;
use crate::limits;
use crate::linked::{self, LinkedIdentity};
use crate::linking::Linking;
use crate::mail::MailContent;
use crate::ownership::{self, Proven};
use crate::session;

/// How long a signature is good.
const LIFE: Duration = Duration::from_secs(300);

/// What the desk's server signs with: one secret, and while it is replaced the one before.
pub struct Secrets(Vec<hmac::Key>);

impl Secrets {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect())
    }

    /// Whether there is a widget at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// HMAC-SHA256 (RFC 2104), in hexadecimal.
    fn verify(&self, text: &str, signature: &str) -> bool {
        let Ok(tag) = HEXLOWER_PERMISSIVE.decode(signature.as_bytes()) else { return false };
        self.0.iter().any(|key| hmac::verify(key, text.as_bytes(), &tag).is_ok())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What the desk's server says of a device.
#[derive(Debug, Clone)]
pub struct Identify {
    pub device: IdentityKey,
    /// When, in seconds since 1970.
    pub timestamp: i64,
    pub signature: String,
}

impl Identify {
    /// What is signed. The device's id comes last, for it may have any character.
    fn text(&self, account: AccountId) -> String {
        format!("doorstep-messenger-v1:{}:{account}:{}", self.timestamp, self.device.subject)
    }

    /// Whether it is signed, of now, and for this account.
    fn check(&self, secrets: &Secrets, account: AccountId, now: Timestamp) -> Result<()> {
        if !secrets.verify(&self.text(account), &self.signature) {
            let detail = "It is not what the desk's server signs for this device, this time and this account.";
            return Err(Error::invalid("/signature", "wrong_signature", detail));
        }
        let age = now.as_seconds().saturating_sub(self.timestamp);
        if !(-limits::CLOCK_LEEWAY.as_secs().cast_signed()..=LIFE.as_secs().cast_signed()).contains(&age) {
            let detail = "It was signed more than five minutes ago, or is of the future: have it signed anew.";
            return Err(Error::invalid("/timestamp", "not_of_now", detail));
        }
        Ok(())
    }

    /// By what it is remembered for longer than it is good.
    fn key(&self, account: AccountId) -> IdempotencyKey {
        IdempotencyKey {
            caller: format!("account {account}"),
            route: "identify_messenger",
            key: self.signature.to_ascii_lowercase(),
            fingerprint: sha256(self.text(account).as_bytes()),
        }
    }
}

/// Links a device to the account of a fresh session, with what was said by it. Where it is linked already nothing is done, so
/// that a lost answer can be asked for again.
pub fn identify(
    work: &mut Work<'_>,
    claims: &AccessClaims,
    secrets: &Secrets,
    said: &Identify,
) -> Result<LinkedIdentity> {
    let key = said.key(claims.sub);
    work.hold(&[Lock::Idempotency(&key)])?;
    ownership::hold(work, &[&said.device], &[claims.sub])?;
    let who = session::authenticate_to_write(work, claims)?;
    who.require_fresh(work)?;
    let account = who.account.id;
    said.check(secrets, account, work.now())?;
    let proof = Proof { method: ProofMethod::Signature, challenge: None, flow: None };
    let proven = Proven { key: &said.device, label: None, name: None, proof };
    match linked::becoming(work, &proven, account)? {
        Linking::Attach => {
            if db::idempotency_keys::find(work, &key)?.is_some() {
                let detail = "It has linked this device before, and it was unlinked since: have it signed anew.";
                return Err(Error::invalid("/signature", "used", detail));
            }
            db::idempotency_keys::insert(work, &key, account.0)?;
            let mail = MailContent::MessengerLinked { at: work.now() };
            linked::attach(work, &proven, account, None, &mail)?;
        }
        Linking::Already => {}
        Linking::Taken => return Err(Error::IdentityTaken),
    }
    linked::find(work, &who, &said.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(account: AccountId, device: &str, timestamp: i64, secret: &str) -> Identify {
        let device = IdentityKey::messenger(device).unwrap();
        let mut said = Identify { device, timestamp, signature: String::new() };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        said.signature = data_encoding::HEXLOWER.encode(hmac::sign(&key, said.text(account).as_bytes()).as_ref());
        said
    }

    fn fault(result: Result<()>) -> &'static str {
        match result {
            Ok(()) => "",
            Err(Error::Invalid(faults)) => faults.first().unwrap().code,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_signature_is_good_for_one_device_one_account_and_five_minutes() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let at = now.as_seconds();
        let [ada, eve] = [7, 8].map(|n| AccountId(uuid::Uuid::from_u128(n)));
        let (old, new) = ("an old secret of the help desk's", "a newer secret of the help desk's");
        let secrets = Secrets::new([new, old]);
        let good = said(ada, "device-12", at, old);
        assert_eq!(fault(good.check(&secrets, ada, now)), "");
        let upper = Identify { signature: good.signature.to_ascii_uppercase(), ..good.clone() };
        assert_eq!(fault(upper.check(&secrets, ada, now)), "");
        assert_eq!(fault(said(ada, "device-12", at, new).check(&secrets, ada, now)), "");
        for (age, code) in [(300, ""), (301, "not_of_now"), (-30, ""), (-31, "not_of_now")] {
            assert_eq!(fault(said(ada, "device-12", at - age, new).check(&secrets, ada, now)), code, "{age}");
        }
        for (age, code) in [(i64::MIN, "not_of_now"), (i64::MAX, "not_of_now")] {
            assert_eq!(fault(said(ada, "device-12", age, new).check(&secrets, ada, now)), code, "{age}");
        }
        let wrong = [
            said(eve, "device-12", at, new),
            said(ada, "device-12", at, "some other secret of somebody's"),
            Identify { timestamp: at - 1, ..good.clone() },
            Identify { device: IdentityKey::messenger("device-13").unwrap(), ..good.clone() },
            Identify { signature: good.signature[..62].to_owned(), ..good.clone() },
            Identify { signature: String::new(), ..good.clone() },
            Identify { signature: format!("{}00", good.signature), ..good.clone() },
            Identify { signature: "é".repeat(32), ..good },
        ];
        for said in wrong {
            assert_eq!(fault(said.check(&secrets, ada, now)), "wrong_signature", "{said:?}");
        }
    }
}
