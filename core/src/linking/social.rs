//! Who arrives by a provider, what may be linked and unlinked, and which accounts may become one (rules 7, 8, 12
//! and 15), and who makes a session fresh.

use std::time::Duration;

use super::{Holder, House, Made, Outcome, redeem};
use crate::email::EmailAddress;
use crate::identity::IdentityKind;
use crate::limits;
use crate::provider::ProviderEmail;
use crate::settings::SignUpPolicy;

/// Rule 7: the address that a provider proves, where it proves one. All else is a hint.
#[must_use]
pub fn counts(kind: IdentityKind, trusted: bool, email: Option<&ProviderEmail>) -> Option<&EmailAddress> {
    let email = email.filter(|email| email.verified && trusted && kind == IdentityKind::Google)?;
    let domain = email.address.domain();
    let authoritative = domain == "gmail.com" || email.hosted_domain.as_deref() == Some(domain);
    authoritative.then_some(&email.address)
}

/// What comes of somebody who has shown a provider who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arriving {
    SignIn,
    /// What the subject has becomes its owner's: all of the account, or the subject's part (rule 10).
    OwnSubject,
    /// The address and the subject become one account's: a new one, or what support keeps of them.
    OwnBoth,
    /// The address is somebody's who can sign in: they do, and link. Nothing is said of who it is.
    LinkRequired,
    EmailRequired,
    /// The subject's account is closed to its owner. It never falls back to the address (OA-19).
    Closed,
    /// The road is off.
    Off,
}

/// Rules 8 and 14: by who holds the subject, who holds the address that counts, and what the house lets do. `house`
/// says of sign-up whether this provider may make accounts.
#[must_use]
pub fn arrive(subject: Holder, email: Option<Holder>, house: House) -> Arriving {
    let open = house.sign_up == SignUpPolicy::Open;
    match (subject, email) {
        _ if !house.road_on => Arriving::Off,
        (Holder::Claimed, _) => Arriving::SignIn,
        (Holder::Closed, _) => Arriving::Closed,
        (Holder::Unclaimed { .. }, _) => Arriving::OwnSubject,
        (Holder::Nobody, Some(Holder::Claimed | Holder::Closed)) => Arriving::LinkRequired,
        (Holder::Nobody, Some(Holder::Unclaimed { .. })) if house.admits => Arriving::OwnBoth,
        (Holder::Nobody, Some(Holder::Nobody)) if house.admits && open => Arriving::OwnBoth,
        // an address that may not make an account leaves them another
        (Holder::Nobody, _) => Arriving::EmailRequired,
    }
}

/// [`redeem`] for a code that comes with a flow's continuation: the subject must still be nobody's own.
#[must_use]
pub fn redeem_with_subject<A: PartialEq>(
    made: Made<A>,
    held_by: Option<(A, i64)>,
    address: Holder,
    subject: Holder,
    house: House,
) -> Outcome {
    match subject {
        Holder::Claimed | Holder::Closed => Outcome::Refuse,
        Holder::Nobody | Holder::Unclaimed { .. } => redeem(made, held_by, address, house),
    }
}

/// Rule 10: of all identities that are proven at once, each with the unclaimed account that has it and whether that
/// account has nothing else, the account they become; a new one where each leaves something behind.
#[must_use]
pub fn home<A: Copy>(proven: &[Option<(A, bool)>]) -> Option<A> {
    proven.iter().flatten().find(|(_, alone)| *alone).map(|(account, _)| *account)
}

/// What becomes of an identity that a signed-in owner has proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linking {
    /// It is theirs now, with the history that came by it.
    Attach,
    /// It was theirs before.
    Already,
    /// It is another's: it stays there.
    Taken,
}

/// Rule 12: a key of a claimed account is never moved, one of nobody's comes along.
#[must_use]
pub const fn link(holder: Holder, same_account: bool) -> Linking {
    match holder {
        Holder::Nobody | Holder::Unclaimed { .. } => Linking::Attach,
        Holder::Claimed if same_account => Linking::Already,
        Holder::Claimed | Holder::Closed => Linking::Taken,
    }
}

/// What a provider's round trip shows of whoever holds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The owner is there, now.
    Shown,
    /// The owner was there, who knows when.
    LongAgo,
    /// Whoever is there is none of those whom the account is signed in to with, or came lately: a thief may have linked them.
    NotTheOwner,
}

/// Whether an identity has been an account's for long enough, or is its first: nobody can have brought it in unseen.
#[must_use]
pub fn is_settled<T: PartialOrd>(since: &T, oldest: &T, long_ago: &T) -> bool {
    since <= oldest || since <= long_ago
}

/// Whether whoever has arrived is a session's owner, by who holds the subject, and how long ago the provider says that
/// they have signed in there, where it says so. Nothing is linked by it.
#[must_use]
pub fn presence(holder: Holder, same_account: bool, settled: bool, signed_in_ago: Option<Duration>) -> Presence {
    if link(holder, same_account) != Linking::Already || !settled {
        Presence::NotTheOwner
    } else if signed_in_ago.is_some_and(|ago| ago >= limits::FRESH + limits::CLOCK_LEEWAY) {
        Presence::LongAgo
    } else {
        Presence::Shown
    }
}

/// Whether an owner may remove a way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Removal {
    Remove,
    /// Nothing that may be used now would be left (I9).
    LastWayIn,
}

/// Rule 12: by the ways in that may be used now (rule 14) and would be left.
#[must_use]
pub const fn unlink(usable_left: usize) -> Removal {
    if usable_left == 0 { Removal::LastWayIn } else { Removal::Remove }
}

/// One side of a merge, which its owner has shown to be theirs by a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party {
    pub claimed: bool,
    pub fresh: bool,
    pub admin: bool,
}

/// Whether two accounts may become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Merging {
    Merge,
    /// The survivor's session is not fresh.
    Stale,
    /// The other one's is not.
    OtherStale,
    Same,
    /// An admin's account does not go into another.
    AdminGoes,
    NotClaimed,
}

/// Rule 15: two claimed accounts become one by a fresh session of each, and then by what was mailed to both.
#[must_use]
pub const fn may_merge(same: bool, survivor: Party, source: Party) -> Merging {
    if same {
        Merging::Same
    } else if !survivor.claimed || !source.claimed {
        Merging::NotClaimed
    } else if !survivor.fresh {
        Merging::Stale
    } else if !source.fresh {
        Merging::OtherStale
    } else if source.admin {
        Merging::AdminGoes
    } else {
        Merging::Merge
    }
}
