//! Who gets what: the rules on accounts, identities and proofs as plain functions from facts to outcomes
//! (rules 1 to 15). They know no database, so that they can be tried in every order of events.
//!
//! Here are mailed secrets and pushes; the module `social` has whoever arrives by a provider, links, unlinks and merges,
//! and `undoing` who takes that back.

mod social;
mod undoing;

pub use social::{
    Arriving, Linking, Merging, Party, Presence, Removal, arrive, counts, home, is_settled, link, may_merge, presence,
    redeem_with_subject, unlink,
};
pub use undoing::{comes_back, may_undo, stays, who_confirms};

use crate::account::AccountState;
use crate::challenge::ChallengePurpose;
use crate::settings::SignUpPolicy;

/// Who holds an address, as far as a rule has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    Nobody,
    /// Nobody has claimed it; `alone` where the address is all the account has.
    Unclaimed {
        alone: bool,
    },
    Claimed,
    /// Disabled, merged or deleted: looks like any other from outside, and nothing is done.
    Closed,
}

impl Holder {
    #[must_use]
    pub const fn of(state: AccountState, identities: usize) -> Self {
        match state {
            AccountState::Unclaimed => Self::Unclaimed { alone: identities == 1 },
            AccountState::Claimed => Self::Claimed,
            AccountState::Disabled | AccountState::Merged | AccountState::Deleted => Self::Closed,
        }
    }
}

/// What somebody without a session asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    SignUp,
    PasswordReset,
    /// To prove the address that a provider did not give.
    SocialEmail,
    /// To add an address to the asker's own account.
    AddEmail,
}

/// What of the settings bears on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct House {
    /// The road is on: password sign-in for what sets a password, the provider for what finishes its flow.
    pub road_on: bool,
    pub sign_up: SignUpPolicy,
    /// The address's domain may make or claim an account.
    pub admits: bool,
}

/// What is mailed to an address. To the asker all of it looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A secret that makes or claims an account, spent at sign-up's confirmation.
    SignUp,
    /// The same, and the mail says that there was no password to reset.
    SignUpInstead,
    /// A secret that claims an account, spent where a password is reset.
    Claim,
    /// A secret that sets a new password.
    Reset,
    /// "You already have an account", without a secret.
    Notice,
    /// A code that proves the address to the flow that waits for it (rule 4).
    SocialEmail,
    /// "Somebody tried to sign in with …: sign in first, then link", without a code.
    LinkNotice,
    /// A secret that proves the address to the session that adds it (rule 12).
    AddEmail,
    /// "Somebody tried to add your address to their account", without a secret.
    AddEmailNotice,
    Nothing,
}

impl Answer {
    /// Whether somebody who reads the mail can do something with it.
    #[must_use]
    pub const fn carries_a_secret(self) -> bool {
        match self {
            Self::SignUp | Self::SignUpInstead | Self::Claim | Self::Reset | Self::SocialEmail | Self::AddEmail => true,
            Self::Notice | Self::LinkNotice | Self::AddEmailNotice | Self::Nothing => false,
        }
    }
}

/// Rule 3: what an asker's request mails to the address.
#[must_use]
pub fn answer_to(ask: Ask, holder: Holder, house: House) -> Answer {
    let open = house.sign_up == SignUpPolicy::Open;
    match (ask, holder) {
        _ if !house.road_on => Answer::Nothing,
        (_, Holder::Closed) => Answer::Nothing,
        (Ask::SignUp, Holder::Claimed) => Answer::Notice,
        (Ask::PasswordReset, Holder::Claimed) => Answer::Reset,
        (Ask::SocialEmail, Holder::Claimed) => Answer::LinkNotice,
        (Ask::AddEmail, Holder::Claimed) => Answer::AddEmailNotice,
        _ if !house.admits => Answer::Nothing,
        (Ask::SignUp, Holder::Unclaimed { .. }) => Answer::SignUp,
        (Ask::PasswordReset, Holder::Unclaimed { .. }) => Answer::Claim,
        (Ask::SocialEmail, Holder::Unclaimed { .. }) => Answer::SocialEmail,
        // whoever adds it has an account already
        (Ask::AddEmail, Holder::Nobody | Holder::Unclaimed { .. }) => Answer::AddEmail,
        (_, Holder::Nobody) if !open => Answer::Nothing,
        (Ask::SignUp, Holder::Nobody) => Answer::SignUp,
        (Ask::PasswordReset, Holder::Nobody) => Answer::SignUpInstead,
        (Ask::SocialEmail, Holder::Nobody) => Answer::SocialEmail,
    }
}

/// What a mailed secret does when it is spent (rule 8, first row).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A new account of this address alone.
    Create,
    /// The account support kept becomes its owner's.
    Claim,
    /// The address leaves an unclaimed account of several, with what came by it, and becomes an account.
    ClaimPart,
    /// A new password for an account that has an owner.
    Recover,
    /// Nothing, and to whoever presented it the secret is simply gone.
    Refuse,
}

/// Rules 8 and 10: what a presented secret does, by who holds the address now, whatever was true when it was
/// mailed.
#[must_use]
pub fn spend(holder: Holder, house: House) -> Outcome {
    match holder {
        _ if !house.road_on => Outcome::Refuse,
        Holder::Closed => Outcome::Refuse,
        Holder::Claimed => Outcome::Recover,
        _ if !house.admits => Outcome::Refuse,
        Holder::Unclaimed { alone: true } => Outcome::Claim,
        Holder::Unclaimed { alone: false } => Outcome::ClaimPart,
        Holder::Nobody if house.sign_up == SignUpPolicy::Open => Outcome::Create,
        Holder::Nobody => Outcome::Refuse,
    }
}

/// Where a secret is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Desk {
    SignUp,
    PasswordReset,
    /// A flow that waits for an address, with its continuation.
    SocialEmail,
}

impl Desk {
    /// What sign-up's secret does (set a first password) forgot password does as well, and it gives less for
    /// it: no session. The other way round a reset would sign in.
    #[must_use]
    pub const fn takes(self) -> &'static [ChallengePurpose] {
        match self {
            Self::SignUp => &[ChallengePurpose::SignUp],
            Self::SocialEmail => &[ChallengePurpose::SocialEmail],
            Self::PasswordReset => {
                &[ChallengePurpose::PasswordReset, ChallengePurpose::SignUp, ChallengePurpose::AdminInvitation]
            }
        }
    }
}

/// What a mailed secret was made for, and who held the address then: the account and its security epoch.
#[derive(Debug, Clone, Copy)]
pub struct Made<A> {
    pub purpose: ChallengePurpose,
    pub held_by: Option<(A, i64)>,
}

/// [`spend`] for a secret as it was made, which is good only for whom it was made (rule 5): the account must be
/// the same, in the same epoch.
#[must_use]
pub fn redeem<A: PartialEq>(made: Made<A>, held_by: Option<(A, i64)>, holder: Holder, house: House) -> Outcome {
    let for_this_one = match (made.held_by, held_by) {
        (Some(then), now) => now == Some(then),
        // somebody whom support has met since then
        (None, Some(_)) => matches!(holder, Holder::Unclaimed { .. }),
        (None, None) => true,
    };
    match spend(holder, house) {
        _ if !for_this_one => Outcome::Refuse,
        // these sign in as well, and never to an account that has an owner
        Outcome::Recover if matches!(made.purpose, ChallengePurpose::SignUp | ChallengePurpose::SocialEmail) => {
            Outcome::Refuse
        }
        outcome => outcome,
    }
}

/// Who wrote a message of a conversation that has a requester.
#[expect(clippy::struct_excessive_bools, reason = "four facts that do not depend on each other")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sender {
    /// It is the very identity the conversation belongs to.
    pub is_requester: bool,
    /// It belongs to the conversation's account, and that account has an owner (who has then proven it).
    pub is_owner: bool,
    /// The desk's verdict on the mail's `From:` was `fail`.
    pub spoofed: bool,
    /// Nobody had met this person before, and such requests are held for review.
    pub unknown_and_held: bool,
}

/// Rule 11: whether an inbound message is shown to the requester, and as whose it counts.
#[must_use]
pub const fn reception(sender: Sender) -> (Author, Shown) {
    let author = if sender.is_requester || sender.is_owner { Author::Requester } else { Author::Stranger };
    let shown = match author {
        Author::Requester if !sender.spoofed && !sender.unknown_and_held => Shown::Yes,
        Author::Requester | Author::Stranger => Shown::Held,
    };
    (author, shown)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    Requester,
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    Yes,
    Held,
}

#[cfg(test)]
mod tests;
