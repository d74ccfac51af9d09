//! What a database needs before the first request, and what keeps it tidy afterwards.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::custom_field;
use crate::db::{self, Lock, Origin, Store, Work};
use crate::error::{Error, Result};
use crate::keyring::Purpose;
use crate::limits;
use crate::settings;
use crate::signing_key::{self, KeySet};

/// What the secret's check value is made over.
const CHECK: &[u8] = b"doorstep instance";

/// Readies a migrated database: it must belong to this secret, and have settings and a signing key.
pub fn settle_in(store: &Store) -> Result<KeySet> {
    let origin = Origin::default();
    let settled = store.read(&origin, |work| {
        check_secret(work)?;
        db::settings::get(work).map_err(|_| Error::NotFound("settings"))?;
        signing_key::load(work)
    });
    match settled {
        Ok(keys) if keys.signing_key(store.clock().now()).is_ok() => {
            store.read(&origin, settings::current)?;
            return Ok(keys);
        }
        Err(Error::NotFound(_)) | Ok(_) => {}
        Err(error) => return Err(error),
    }
    store.write(&origin, |work| {
        work.hold(&[Lock::House])?;
        match db::instance::find_secret_check(work)? {
            Some(_) => check_secret(work)?,
            None => db::instance::insert(work, &work.keyring().mac(Purpose::Instance, &[CHECK]))?,
        }
        db::settings::ensure(work)?;
        signing_key::ensure(work).map(drop)
    })?;
    store.read(&origin, |work| {
        settings::current(work)?;
        signing_key::load(work)
    })
}

/// An instance with another secret could read nothing of what is sealed, and would void every token: it stops here.
fn check_secret(work: &mut Work<'_>) -> Result<()> {
    let stored = db::instance::find_secret_check(work)?.ok_or(Error::NotFound("instance"))?;
    if work.keyring().verifies(Purpose::Instance, &[CHECK], &stored) {
        return Ok(());
    }
    Err(Error::Unavailable("this database was set up with another secret".into()))
}

/// Rows deleted in one go, so that tidying never holds the writer for long.
const BROOM: i64 = 500;

/// Follows settings and keys that another process changed, and makes the next signing key when it is time.
/// `None` where the keys are the same as before.
pub fn follow(store: &Store, keys: &KeySet) -> Result<Option<KeySet>> {
    let origin = Origin::default();
    let current = store.read(&origin, |work| {
        settings::current(work)?;
        signing_key::load(work)
    })?;
    Ok(if current.is_same(keys) { None } else { Some(current) })
}

/// Deletes what is of no use any more, a little at a time, rotates the signing key when it is old, and leaves nothing of
/// what was erased in the log.
/// Says whether there may be more to do.
pub fn tidy(store: &Store) -> Result<bool> {
    let erasing = store.write(&Origin::default(), |work| custom_field::erase(work, BROOM))?;
    let sweeping = store.write(&Origin::default(), |work| {
        let ago = |work: &Work<'_>, period: Duration| -> Timestamp { work.now() - period };
        let day = Duration::from_secs(86_400);
        db::outbox::expire(work, db::outbox::Kind::Event)?;
        let finished = ago(work, day * 7);
        let mail = db::outbox::delete_before(work, finished, BROOM)?;
        let before = ago(work, day * 8);
        let challenges = db::challenges::delete_before(work, before, BROOM)?;
        // whoever was on their way by one is a person: no longer than it is of use
        let over = ago(work, limits::FLOW_AFTERLIFE);
        let flows = db::social_flows::delete_before(work, over, BROOM)?;
        let idle = ago(work, limits::FAILURES_FORGOTTEN * 2);
        let throttles = db::throttles::delete_before(work, idle, BROOM)?;
        let forgotten = ago(work, limits::IDEMPOTENCY_LIFE);
        db::idempotency_keys::delete_before(work, forgotten)?;
        // no session outlives its absolute end, and its device is remembered for a while
        let longest = settings::current(work)?.session_absolute();
        let began = ago(work, longest + limits::DEVICE_REMEMBERED);
        let sessions = db::sessions::delete_before(work, began, BROOM)?;
        db::signing_keys::delete_retired(work)?;
        signing_key::ensure(work)?;
        let full = usize::try_from(BROOM).unwrap_or(usize::MAX);
        Ok([mail, challenges, flows, throttles, sessions].contains(&full))
    })?;
    let more = erasing || sweeping;
    if !more && !store.empty_log()? {
        tracing::debug!("a reader was in the way: the log is emptied the next time");
    }
    Ok(more)
}
