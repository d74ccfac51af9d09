//! Who confirms what cannot be taken back: that an account is deleted, or becomes part of another. A fresh session alone may
//! be a thief's; so the mailbox of whoever was there first has the say, and where there is none, whoever is there again.

use crate::db::{self, Work};
use crate::email::EmailAddress;
use crate::error::{Error, Result};
use crate::identity::IdentityKind;
use crate::session::SignedIn;
use crate::{limits, linking, undo_offers};

/// Whose mailbox has the say now; nobody's, where there is none to mail to.
pub fn who_confirms(work: &mut Work<'_>, who: &SignedIn) -> Result<Option<EmailAddress>> {
    let open = undo_offers::list_open(work, who.account.id)?;
    let undos: Vec<_> = open.iter().map(|undo| (&undo.address, undo.since, undo.back_to)).collect();
    let mine = db::identities::list_proven(work, who.account.id)?;
    let emails = || mine.iter().filter(|identity| identity.key.kind == IdentityKind::Email);
    let primary = emails().find(|email| email.is_primary).or_else(|| emails().next());
    let there = match primary {
        Some(primary) => primary.owned_since,
        None => mine.iter().filter_map(|identity| identity.owned_since).min(),
    };
    let primary = primary.map(|email| EmailAddress::stored(&email.key.subject)).transpose()?;
    Ok(linking::who_confirms(&undos, primary.as_ref(), there).cloned())
}

/// All that could be mailed to came lately, to an account that is older: whoever has copied a token of somebody who signs in
/// by something else may have added it, and nobody was told.
pub fn is_not_new_to_mail(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    let since = work.now() - limits::UNDO_LIFE;
    let mine = db::identities::list_proven(work, who.account.id)?;
    let emails = mine.iter().filter(|identity| identity.key.kind == IdentityKind::Email);
    let undos = undo_offers::list_open(work, who.account.id)?;
    let first = emails.filter_map(|email| email.owned_since).chain(undos.iter().map(|undo| undo.since)).min();
    let older = |first| who.account.claimed_at.is_some_and(|claimed_at| claimed_at < first);
    if first.is_some_and(|first| first > since && older(first)) { Err(Error::AddressTooNew) } else { Ok(()) }
}

/// The session was made fresh again within the last minute: whoever has only copied its tokens cannot do that.
pub fn is_here_again(work: &mut Work<'_>, who: &SignedIn) -> Result<()> {
    let session = &who.session;
    // by a token of after that: one of before does not become fresh with its session
    let again = session.authenticated_at > session.created_at
        && who.shown_at.as_seconds() >= session.authenticated_at.as_seconds();
    let here = again && who.is_fresh_within(work.now(), limits::FRESH_A_MOMENT_AGO);
    if here { Ok(()) } else { Err(who.stale(work)) }
}
