//! API keys of help desks and other back ends: scoped, shown once, stored as a hash.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::{self, Action, Actor};
use crate::clock::Timestamp;
use crate::db::types::words;
use crate::db::{self, Work};
use crate::error::{Error, Result};
use crate::id::ApiKeyId;
use crate::keyring::sha256;
use crate::line;
use crate::page::{List, Page, PageAsk};

words! {
    /// What a key may do.
    pub enum Scope {
        InteractionsWrite = "interactions:write",
        ConversationsRead = "conversations:read",
        ConversationsWrite = "conversations:write",
        AccountsRead = "accounts:read",
        AccountsWrite = "accounts:write",
        CustomFieldsWrite = "custom_fields:write",
        TokensIntrospect = "tokens:introspect",
    }
}

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

const PREFIX: &str = "dsk_";
/// What ends a key, so that a cut or mistyped one is told from a stranger's without the database.
const CHECK_BYTES: usize = 4;

/// A plain key: `dsk_` and base64url of 256 random bits and a checksum.
pub struct PlainKey(Zeroizing<[u8; 32]>);

impl PlainKey {
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Reads a key that may exist; anything else is refused here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        if encoded.len() > 64 {
            return None;
        }
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?);
        let (random, check) = bytes.split_at_checked(32)?;
        let key = Self::new(random.try_into().ok()?);
        (key.check().as_slice() == check).then_some(key)
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        let mut check = [0; CHECK_BYTES];
        let sum = sha256(&[b"check".as_slice(), self.0.as_slice()].concat());
        check.iter_mut().zip(sum).for_each(|(to, from)| *to = from);
        check
    }

    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([self.0.as_slice(), &self.check()].concat());
        Zeroizing::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }
}

/// Looks a presented key up: it must be live and have the scope.
pub fn authenticate(work: &mut Work<'_>, hash: &[u8; 32], scope: Scope) -> Result<ApiKey> {
    let key = db::api_keys::find_by_hash(work, hash)?.ok_or(Error::ApiKeyInvalid)?;
    let dead = key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= work.now());
    if dead {
        return Err(Error::ApiKeyInvalid);
    }
    if key.scopes.contains(&scope) { Ok(key) } else { Err(Error::ScopeMissing(scope)) }
}

/// Makes a key; its plain form is in the answer and nowhere else.
pub fn create(
    work: &mut Work<'_>,
    actor: Actor,
    name: &str,
    scopes: &[Scope],
    expires_at: Option<Timestamp>,
) -> Result<(ApiKey, PlainKey)> {
    if !line::is_line(name, 100) {
        return Err(Error::invalid("/name", "invalid", "A key's name has 1 to 100 characters."));
    }
    if scopes.is_empty() {
        return Err(Error::invalid("/scopes", "required", "A key without a scope is good for nothing."));
    }
    if expires_at.is_some_and(|end| end <= work.now()) {
        return Err(Error::invalid("/expires_at", "out_of_range", "This time has passed already."));
    }
    let plain = PlainKey::new(work.random());
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    let key = ApiKey {
        id: work.new_id(),
        name: name.trim().to_owned(),
        scopes,
        created_at: work.now(),
        expires_at,
        revoked_at: None,
    };
    db::api_keys::insert(work, &key, &plain.hash())?;
    audit::record(work, Action::ApiKeyCreated, actor, None, &json!({ "api_key_id": key.id, "scopes": key.scopes }))?;
    Ok((key, plain))
}

/// The keys that nobody has revoked, the oldest first; an expired one says so.
pub fn list(work: &mut Work<'_>, ask: PageAsk) -> Result<Page<ApiKey>> {
    let ask = ask.of(List::named("API keys"))?;
    let rows = db::api_keys::list(work, ask)?;
    Ok(ask.page(rows, |row| (row.created_at, row.id.0)))
}

/// Revokes a key: the next request with it is refused.
pub fn revoke(work: &mut Work<'_>, actor: Actor, id: ApiKeyId) -> Result<()> {
    if !db::api_keys::revoke(work, id)? {
        return Err(Error::NotFound("API key"));
    }
    audit::record(work, Action::ApiKeyRevoked, actor, None, &json!({ "api_key_id": id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling_and_a_checksum() {
        let text = PlainKey::new([3; 32]).reveal().to_string();
        assert!(text.starts_with("dsk_"));
        assert_eq!(PlainKey::parse(&text).unwrap().hash(), PlainKey::new([3; 32]).hash());
        for wrong in [
            &text[1..],
            &text[..text.len() - 1],
            &text.replace("dsk_", "DSK_"),
            &text.replace("dsk_AwMD", "dsk_AwME"),
            "dsk_",
            "",
        ] {
            assert!(PlainKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
