//! What an undo brings back and drops, and who gets one (rule 13).

use super::Holder;

/// Whether a dropped identity may undo that, by since when it and whoever drops it have been the account's. Of two who
/// drop each other the older one has the last word.
#[must_use]
pub fn may_undo<T: PartialOrd>(dropped_since: &T, kept_since: &T) -> bool {
    dropped_since <= kept_since
}

/// What another owner has proven meanwhile stays theirs (rule 12); what the account still has, it has.
#[must_use]
pub const fn comes_back(holder: Holder, same_account: bool) -> bool {
    match holder {
        Holder::Nobody | Holder::Unclaimed { .. } => true,
        Holder::Claimed | Holder::Closed => same_account,
    }
}

/// Whose mailbox confirms what leaves nothing to undo, that an account is deleted or merged: of all who can still undo something
/// whoever was there first, and of these whoever can go back furthest, where that was before what is there now: the primary
/// address, or what else the account is signed in to with, since `there`. Where nobody was, the primary address.
pub fn who_confirms<A: Copy, T: Ord + Copy>(undos: &[(A, T, T)], primary: Option<A>, there: Option<T>) -> Option<A> {
    let first = undos.iter().min_by_key(|(_, since, back_to)| (*since, *back_to));
    let first = first.filter(|(_, since, _)| there.is_none_or(|there| *since < there));
    first.map(|(address, ..)| *address).or(primary)
}

/// What an account keeps: the address that undoes, and, unless all others are to go, what was there before.
#[must_use]
pub const fn stays(undoes: bool, was_there: bool, unlink_others: bool) -> bool {
    undoes || (was_there && !unlink_others)
}
