//! Limits that all instances share: they slow a guesser down and never lock an owner out.
//!
//! Attempts are counted before they are made, so that a thousand at once are a thousand.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::db::{self, Lock, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::id::{AccountId, DeviceId};
use crate::keyring::Purpose;
use crate::limits;
use crate::linking::Ask;

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Wrong passwords of an address, whether or not it has an account.
    Password(&'a EmailAddress, Option<AccountId>),
    /// Wrong passwords of an account by whatever address. Nobody waits for these: a wait would tell that two addresses are
    /// one account's (I7).
    Passwords(AccountId),
    PasswordsOfNobody(&'a EmailAddress),
    /// Wrong passwords from a device that has signed in before.
    Device(AccountId, DeviceId),
    /// Wrong passwords and codes of a caller.
    Caller(IpAddr),
    /// Mail to an address, by what was asked for: who asks for what tells nobody anything must not use up what
    /// lets the owner back in.
    MailTo(Ask, &'a EmailAddress),
    /// Codes to an owner's own address, to make a session fresh.
    CodeTo(&'a EmailAddress),
    /// What confirms that an account is deleted: it uses up no code.
    DeletionTo(&'a EmailAddress),
    /// What confirms that two accounts become one.
    MergeTo(&'a EmailAddress),
    MailFrom(IpAddr),
    /// Flows that a caller begins.
    Flows(IpAddr),
    /// What an account's owner writes.
    Messages(AccountId),
    /// Changes of an account's addresses.
    Changes(AccountId),
    /// What an account's owner takes with them.
    Exports(AccountId),
    /// Devices that an account does not know, each of which is mailed of.
    NewDevices(AccountId),
}

impl Scope<'_> {
    /// The key it is stored under, which says nothing about whom it is of.
    fn key(self, work: &Work<'_>) -> Vec<u8> {
        let mac = |parts: &[&[u8]]| work.keyring().mac(Purpose::Throttle, parts).to_vec();
        match self {
            Self::Password(address, _) => mac(&[b"password", address.as_str().as_bytes()]),
            Self::Passwords(account) => mac(&[b"passwords", account.0.as_bytes()]),
            Self::PasswordsOfNobody(address) => mac(&[b"passwords of nobody", address.as_str().as_bytes()]),
            Self::Device(account, device) => mac(&[b"device", account.0.as_bytes(), device.0.as_bytes()]),
            Self::Caller(ip) => mac(&[b"caller", ip.to_string().as_bytes()]),
            Self::MailTo(Ask::PasswordReset, to) => mac(&[b"reset to", to.as_str().as_bytes()]),
            Self::MailTo(Ask::SignUp, to) => mac(&[b"sign-up to", to.as_str().as_bytes()]),
            Self::Exports(account) => mac(&[b"exports", account.0.as_bytes()]),
            Self::Changes(account) => mac(&[b"changes", account.0.as_bytes()]),
            Self::NewDevices(account) => mac(&[b"new devices", account.0.as_bytes()]),
            Self::Messages(account) => mac(&[b"messages", account.0.as_bytes()]),
            Self::MailTo(Ask::SocialEmail, to) => mac(&[b"social email to", to.as_str().as_bytes()]),
            Self::MailTo(Ask::AddEmail, to) => mac(&[b"add email to", to.as_str().as_bytes()]),
            Self::CodeTo(to) => mac(&[b"code to", to.as_str().as_bytes()]),
            Self::DeletionTo(to) => mac(&[b"deletion to", to.as_str().as_bytes()]),
            Self::MergeTo(to) => mac(&[b"merge to", to.as_str().as_bytes()]),
            Self::Flows(ip) => mac(&[b"flows", ip.to_string().as_bytes()]),
            Self::MailFrom(ip) => mac(&[b"mail from", ip.to_string().as_bytes()]),
        }
    }

    /// What is counted with it, over all addresses. One that nobody has is counted by itself, so that it is the same work.
    fn whole(self) -> Option<Self> {
        match self {
            Self::Password(_, Some(account)) => Some(Self::Passwords(account)),
            Self::Password(address, None) => Some(Self::PasswordsOfNobody(address)),
            _ => None,
        }
    }
}

/// What is kept of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub failures: i64,
    pub next_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A leaky bucket (GCRA): `next_at` is when it will be empty. Takes one more where there is room, else says
/// when there will be.
fn pour(before: Option<Counted>, now: Timestamp, (burst, period): (u32, Duration)) -> Result<Counted, Duration> {
    let empty_at = before.map_or(now, |c| c.next_at.max(now)) + period;
    let room = period.saturating_mul(burst);
    let excess = empty_at.since(now).saturating_sub(room);
    if excess > Duration::ZERO {
        return Err(excess);
    }
    Ok(Counted { failures: 0, next_at: empty_at, updated_at: now })
}

/// Counts a password about to be tried as wrong (until it proves right), and says how long the next must wait;
/// or how long this one must.
fn count_failure(before: Option<Counted>, now: Timestamp) -> Result<Counted, Duration> {
    let before = before.filter(|counted| now.since(counted.updated_at) < limits::FAILURES_FORGOTTEN);
    let failures = before.map_or(0, |counted| counted.failures);
    if let Some(counted) = before {
        if failures >= limits::MAX_FAILURES {
            return Err(limits::FAILURES_FORGOTTEN.saturating_sub(now.since(counted.updated_at)));
        }
        // the free ones cost no wait, though the clock they were counted by may be ahead of this one
        if failures > limits::FREE_FAILURES && counted.next_at > now {
            return Err(counted.next_at.since(now));
        }
    }
    let failures = failures + 1;
    Ok(Counted { failures, next_at: now + wait_after(failures), updated_at: now })
}

/// Counts a password of an account about to be tried, by whatever address; or says how long none is compared any more,
/// and leaves the count as it is.
fn count_of_whole(before: Option<Counted>, now: Timestamp) -> (Counted, Option<Duration>) {
    let before = before.filter(|counted| now.since(counted.updated_at) < limits::FAILURES_FORGOTTEN);
    match before {
        Some(counted) if counted.failures >= limits::MAX_FAILURES => {
            (counted, Some(limits::FAILURES_FORGOTTEN.saturating_sub(now.since(counted.updated_at))))
        }
        counted => {
            let failures = counted.map_or(0, |counted| counted.failures) + 1;
            (Counted { failures, next_at: now, updated_at: now }, None)
        }
    }
}

/// Nothing for the first few, then 1 s, 2 s, 4 s … at most an hour.
fn wait_after(failures: i64) -> Duration {
    match u32::try_from(failures - limits::FREE_FAILURES) {
        Ok(over @ 1..) => Duration::from_secs(1_u64 << (over - 1).min(20)).min(limits::LONGEST_WAIT),
        _ => Duration::ZERO,
    }
}

/// Holds what is counted of a password attempt, the attempts of its caller included.
pub fn hold(work: &mut Work<'_>, scope: Scope<'_>) -> Result<()> {
    let caller = work.origin().address.map(Scope::Caller);
    let scopes = [Some(scope), scope.whole(), caller];
    let keys: Vec<Vec<u8>> = scopes.into_iter().flatten().map(|scope| scope.key(work)).collect();
    let locks: Vec<Lock<'_>> = keys.iter().map(|key| Lock::Counter(key)).collect();
    work.hold(&locks)
}

/// Counts a password attempt of an address (or device), of its account and of its caller; refuses where the address or the
/// caller has to wait. Where the account has had too many it gives the time until they are forgotten: the password is not
/// to be compared, and a stranger not to be told.
pub fn before_password(work: &mut Work<'_>, scope: Scope<'_>) -> Result<Option<Duration>> {
    hold(work, scope)?;
    let key = scope.key(work);
    let counted = count_failure(db::throttles::find(work, &key)?, work.now());
    let counted = counted.map_err(|retry_after| Error::TooMany { retry_after })?;
    before_try(work)?;
    db::throttles::put(work, &key, counted)?;
    let Some(whole) = scope.whole().map(|whole| whole.key(work)) else { return Ok(None) };
    let (counted, spent) = count_of_whole(db::throttles::find(work, &whole)?, work.now());
    db::throttles::put(work, &whole, counted)?;
    Ok(spent)
}

/// [`before_password`] of the account's signed-in owner, who knows the account and is told.
pub fn before_own_password(work: &mut Work<'_>, scope: Scope<'_>) -> Result<()> {
    match before_password(work, scope)? {
        None => Ok(()),
        Some(retry_after) => Err(Error::TooMany { retry_after }),
    }
}

/// The password was right: what was counted is taken back.
pub fn password_was_right(work: &mut Work<'_>, scope: Scope<'_>) -> Result<()> {
    forget(work, scope)?;
    let Some(ip) = work.origin().address else { return Ok(()) };
    let key = Scope::Caller(ip).key(work);
    if let Some(counted) = db::throttles::find(work, &key)? {
        let next_at = counted.next_at - limits::FAILURES_PER_CALLER.1;
        db::throttles::put(work, &key, Counted { next_at, ..counted })?;
    }
    Ok(())
}

/// Counts a try of a caller at a password or a code.
pub fn before_try(work: &mut Work<'_>) -> Result<()> {
    let Some(ip) = work.origin().address else { return Ok(()) };
    must_take(work, Scope::Caller(ip), limits::FAILURES_PER_CALLER)
}

/// Counts a flow that a caller begins.
pub fn before_flow(work: &mut Work<'_>) -> Result<()> {
    let Some(ip) = work.origin().address else { return Ok(()) };
    must_take(work, Scope::Flows(ip), limits::FLOWS_PER_CALLER)
}

/// Counts a message that an account's owner writes.
pub fn before_message(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    must_take(work, Scope::Messages(account), limits::MESSAGES_PER_ACCOUNT)
}

/// Counts a change of an account's addresses.
pub fn before_change(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    must_take(work, Scope::Changes(account), limits::CHANGES_PER_ACCOUNT)
}

/// Counts an export of all that is held of an account.
pub fn before_export(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    must_take(work, Scope::Exports(account), limits::EXPORTS_PER_ACCOUNT)
}

/// Whether an account's owner may be mailed of one more device. Beyond, the audit trail alone tells of it.
pub fn may_tell_of_device(work: &mut Work<'_>, account: AccountId) -> Result<bool> {
    Ok(take(work, Scope::NewDevices(account), limits::NEW_DEVICE_MAIL)?.is_none())
}

fn must_take(work: &mut Work<'_>, scope: Scope<'_>, limit: (u32, Duration)) -> Result<()> {
    match take(work, scope, limit)? {
        None => Ok(()),
        Some(retry_after) => Err(Error::TooMany { retry_after }),
    }
}

/// Forgets what was counted of a scope, and with it.
pub fn forget(work: &mut Work<'_>, scope: Scope<'_>) -> Result<()> {
    for scope in [Some(scope), scope.whole()].into_iter().flatten() {
        let key = scope.key(work);
        db::throttles::delete(work, &key)?;
    }
    Ok(())
}

/// Forgets what was counted of an account, which is held. What is counted of its addresses stays until it runs out: to leave
/// and begin anew must bring nobody more mail, and no more guesses; so does what is counted of any number of devices.
pub fn forget_account(work: &mut Work<'_>, account: AccountId) -> Result<()> {
    forget(work, Scope::NewDevices(account))?;
    forget(work, Scope::Passwords(account))?;
    forget(work, Scope::Messages(account))?;
    forget(work, Scope::Exports(account))?;
    forget(work, Scope::Changes(account))
}

/// Whether one more mail may be sent to an address, at its caller's asking. Beyond, the answer is the same.
pub fn may_mail(work: &mut Work<'_>, what: Ask, to: &EmailAddress) -> Result<bool> {
    may_mail_to(work, Scope::MailTo(what, to))
}

/// How long an admin must wait before one more goes to an address that forgot password mails to: they are told, and are no
/// caller whose mails are counted.
pub fn wait_to_mail(work: &mut Work<'_>, what: Ask, to: &EmailAddress) -> Result<Option<Duration>> {
    take(work, Scope::MailTo(what, to), limits::MAIL_PER_ADDRESS)
}

/// The same of a code to an owner's own address.
pub fn may_mail_code(work: &mut Work<'_>, to: &EmailAddress) -> Result<bool> {
    may_mail_to(work, Scope::CodeTo(to))
}

/// The same of what confirms that an account is deleted.
pub fn may_mail_deletion(work: &mut Work<'_>, to: &EmailAddress) -> Result<bool> {
    may_mail_to(work, Scope::DeletionTo(to))
}

/// The same of what confirms that accounts become one.
pub fn may_mail_merge(work: &mut Work<'_>, to: &EmailAddress) -> Result<bool> {
    may_mail_to(work, Scope::MergeTo(to))
}

fn may_mail_to(work: &mut Work<'_>, to: Scope<'_>) -> Result<bool> {
    let from = work.origin().address.map(|ip| Scope::MailFrom(ip).key(work));
    let keys = [Some(to.key(work)), from];
    let locks: Vec<Lock<'_>> = keys.iter().flatten().map(|key| Lock::Counter(key)).collect();
    work.hold(&locks)?;
    // for the log alone: the caller learns nothing of it
    let id = work.origin().request_id.clone();
    let request_id = id.as_deref();
    if let Some(ip) = work.origin().address
        && take(work, Scope::MailFrom(ip), limits::MAIL_PER_CALLER)?.is_some()
    {
        tracing::info!(request_id, "no mail: its caller has asked for as many as the limits allow for now");
        return Ok(false);
    }
    if take(work, to, limits::MAIL_PER_ADDRESS)?.is_some() {
        tracing::info!(request_id, "no mail: its address has had as many as the limits allow for now");
        return Ok(false);
    }
    Ok(true)
}

/// Takes one from a bucket; the wait until there is room again where there is none.
fn take(work: &mut Work<'_>, scope: Scope<'_>, limit: (u32, Duration)) -> Result<Option<Duration>> {
    let key = scope.key(work);
    work.hold(&[Lock::Counter(&key)])?;
    match pour(db::throttles::find(work, &key)?, work.now(), limit) {
        Ok(counted) => db::throttles::put(work, &key, counted).map(|()| None),
        Err(wait) => Ok(Some(wait)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_bucket_takes_its_burst_then_one_each_period() {
        let mut bucket = None;
        for _ in 0..3 {
            bucket = Some(pour(bucket, START, (3, HOUR)).unwrap());
        }
        assert_eq!(pour(bucket, START, (3, HOUR)), Err(HOUR));
        let later = START + HOUR;
        bucket = Some(pour(bucket, later, (3, HOUR)).unwrap());
        assert!(pour(bucket, later, (3, HOUR)).is_err());
        assert!(pour(bucket, later + HOUR * 3, (3, HOUR)).is_ok());
    }

    #[test]
    fn rl_04_rl_07_waits_grow_and_protection_arms_again() {
        let mut now = START;
        let mut state = None;
        let mut made = 0;
        for _ in 0..1000 {
            match count_failure(state, now) {
                Ok(counted) => {
                    made += 1;
                    state = Some(counted);
                }
                Err(wait) if made < limits::MAX_FAILURES => now = now + wait,
                Err(_) => break,
            }
        }
        assert_eq!(made, limits::MAX_FAILURES);
        assert!(now.since(START) > Duration::from_secs(3 * 86_400), "a hundred guesses take days");
        let much_later = now + limits::FAILURES_FORGOTTEN * 2;
        let mut state = Some(count_failure(state, much_later).unwrap());
        assert_eq!(state.unwrap().failures, 1);
        for _ in 0..limits::FREE_FAILURES {
            state = Some(count_failure(state, much_later).unwrap());
        }
        assert_eq!(count_failure(state, much_later), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_free_failure_costs_no_wait_on_a_clock_that_is_behind() {
        let mut state = None;
        for n in 0..=limits::FREE_FAILURES {
            let now = if n % 2 == 0 { START + Duration::from_secs(20) } else { START };
            state = Some(count_failure(state, now).unwrap());
        }
        assert!(count_failure(state, START).is_err());
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(wait_after(5), Duration::ZERO);
        assert_eq!(wait_after(6), Duration::from_secs(1));
        assert_eq!(wait_after(9), Duration::from_secs(8));
        assert_eq!(wait_after(90), limits::LONGEST_WAIT);
    }
}
