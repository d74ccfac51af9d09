//! What one step may do, and what must hold after it.

use std::collections::HashSet;

use super::super::{Answer, Ask, Desk, Outcome};
use super::model::{Case, Happened, Key, Login, Person, Switch, World};
use crate::account::AccountState;
use crate::challenge::{ChallengePurpose, ChallengeState};
use crate::limits;
use crate::session::Turn;

macro_rules! holds {
    ($fact:expr, $($why:tt)+) => {
        if !$fact {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use holds;

pub type Checked<T = ()> = Result<T, String>;

/// Rules 1 and 11: a push makes contact points and cases, never a way in, and moves nothing.
pub fn only_observed(before: &World, after: &World, spoofed: bool) -> Checked {
    holds!(after.sessions == before.sessions && after.secrets == before.secrets, "a push reached sessions or secrets");
    holds!(after.accounts.starts_with(&before.accounts), "a push changed an account");
    let (known, new) = after.identities.split_at(before.identities.len());
    holds!(known == before.identities, "a push moved an identity");
    let unclaimed = |account: &usize| after.accounts[*account].state == AccountState::Unclaimed;
    holds!(new.iter().all(|(_, account)| unclaimed(account)), "PH-20: a push gave an owner an identity");
    for (old, new) in before.cases.iter().zip(&after.cases) {
        holds!((old.requester, old.account) == (new.requester, new.account), "PH-23: a push moved a case");
    }
    let shown = |world: &World| world.cases.iter().map(|case| case.shown.len()).sum::<usize>();
    holds!(!spoofed || shown(before) == shown(after), "PH-22: what DMARC fails was shown");
    let hold = after.has_thrown(Switch::HoldUnknown) && before.cases.iter().all(|case| case.shown.is_empty());
    let met = before.accounts.iter().any(|account| account.state == AccountState::Claimed);
    holds!(!hold || met || shown(after) == 0, "an unknown person's request was shown unreviewed");
    Ok(())
}

/// Rule 2: asking changes nothing but what is mailed; a mail that never left does not even void the one before it.
pub fn only_asked(before: &World, after: &World, arrives: bool) -> Checked {
    let but_secrets = |world: &World| World { secrets: Vec::new(), ..world.clone() };
    holds!(but_secrets(before) == but_secrets(after), "rule 2: asking changed an account");
    holds!(arrives || after.secrets.starts_with(&before.secrets), "a mail that never left voided an older one");
    Ok(())
}

/// What was just mailed with a secret can be spent where its mail leads; a notice or nothing leaves no secret.
pub fn is_kept(world: &World, what: Ask, address: Key, answer: Answer) -> Checked {
    let desk = match answer {
        Answer::SignUp | Answer::SignUpInstead => Desk::SignUp,
        Answer::Claim | Answer::Reset => Desk::PasswordReset,
        Answer::Notice | Answer::Nothing => return Ok(()),
    };
    let newest = &world.secrets[world.secrets.len() - 1];
    let rivals =
        world.secrets.iter().filter(|s| (s.address, s.purpose, s.state) == (address, newest.purpose, newest.state));
    holds!(rivals.count() == 1, "an older mail of the purpose is good too");
    let mut then = world.clone();
    let Happened::Spent(_, outcome, _) = then.present(world.secrets.len() - 1, desk) else {
        return Err(format!("the secret of {answer:?} to {address:?} is good for nothing"));
    };
    let recovers = outcome == Outcome::Recover;
    holds!(recovers == (answer == Answer::Reset), "{what:?} mailed {answer:?}, which led to {outcome:?}");
    Ok(())
}

/// Rules 8 to 10: the reader of the address has the account now, with that address's history; nobody else's changed.
pub fn owned_by_proof(before: &World, after: &World, n: usize, outcome: Outcome, account: usize) -> Checked {
    let (secret, address) = (&before.secrets[n], before.secrets[n].address);
    let was_live = secret.state == ChallengeState::Live && secret.age < limits::LINK_LIFE && secret.arrived;
    holds!(was_live, "RS-05, RS-06: {secret:?} worked");
    holds!(after.secrets[n].state == ChallengeState::Spent, "RC-04: {secret:?} is not spent");
    let was = before.account_of(address).map(|held| (held, before.accounts[held].state));
    let recovers = outcome == Outcome::Recover;
    let expected = match was {
        None => !before.has_thrown(Switch::KnownOnly) && account == before.accounts.len(),
        Some((held, AccountState::Unclaimed)) if before.identities_of(held).len() == 1 => held == account,
        Some((_, AccountState::Unclaimed)) => account == before.accounts.len(),
        Some((held, state)) => state == AccountState::Claimed && recovers && held == account,
    };
    holds!(expected, "row 1 of rule 8: {was:?} became {outcome:?} of account {account}");
    holds!(
        recovers == (was.is_some_and(|(_, state)| state == AccountState::Claimed)),
        "{outcome:?} where it was {was:?}"
    );
    holds!(!recovers || secret.purpose == ChallengePurpose::PasswordReset, "a sign-up's secret recovered an account");
    holds!(!before.has_thrown(Switch::PasswordOff), "RS-21: a password was set where there are none");
    let blocked = address == Key::Ada && before.has_thrown(Switch::BlockAda);
    holds!(recovers || !blocked, "a blocked domain made or claimed an account");

    let owner = &after.accounts[account];
    holds!(owner.state == AccountState::Claimed && owner.password == address.reader(), "{address:?} has not got it");
    holds!(owner.proven.contains(&address) && after.account_of(address) == Some(account), "no proof is kept");
    let epoch = before.accounts.get(account).map_or(1, |account| account.epoch);
    holds!(owner.epoch > epoch, "rule 9: the epoch was not raised");
    holds!(after.accounts.len() == before.accounts.len().max(account + 1), "one account too many");
    for (n, old) in before.accounts.iter().enumerate().filter(|(n, _)| *n != account) {
        holds!(after.accounts[n] == *old, "another's account changed");
    }
    let dead = |at: usize, login: &Login| login.account != account || after.sessions[at].ended;
    holds!(before.sessions.iter().enumerate().all(|(at, login)| dead(at, login)), "PH-02, RS-08: a session survived");
    let live = after.secrets.iter().any(|s| s.state == ChallengeState::Live && s.address == address);
    holds!(!live, "RS-10: another secret of the address survived");
    Ok(())
}

/// I10, and rule 14 at a refresh.
pub fn turned(before: &World, after: &World, session: usize, turn: Turn) -> Checked {
    let (old, new) = (&before.sessions[session], &after.sessions[session]);
    let account = &before.accounts[old.account];
    let allowed = account.state == AccountState::Claimed
        && !before.has_thrown(Switch::PasswordOff)
        && old.epoch == account.epoch
        && old.unrotated < before.settings().session_idle()
        && old.age < before.settings().session_absolute();
    holds!(allowed || matches!(turn, Turn::End(_) | Turn::Ended), "SE-06, AD-01: {turn:?} of {account:?}");
    holds!(turn != Turn::Repeat || old.unrotated <= limits::LOST_ANSWER, "SE-01: repeated too late");
    holds!(matches!(turn, Turn::Rotate | Turn::End(_)) || old == new, "{turn:?} changed the session");
    holds!(!matches!(turn, Turn::End(_)) || new.ended, "SE-01: {turn:?} did not end the family");
    holds!(!old.ended || turn == Turn::Ended, "{turn:?} of a session that had ended");
    Ok(())
}

pub fn invariants(world: &World) -> Checked {
    let unique: HashSet<Key> = world.identities.iter().map(|(key, _)| *key).collect();
    holds!(unique.len() == world.identities.len(), "I1: an identity has two owners");
    (0..world.accounts.len()).try_for_each(|account| account_holds(world, account))?;
    for case in &world.cases {
        holds!(world.account_of(case.requester) == Some(case.account), "I4: {case:?} is not with its requester");
        let proven = &world.accounts[case.account].proven;
        let may_be_shown = |writer: &Key| *writer == case.requester || proven.contains(writer);
        holds!(case.shown.iter().all(may_be_shown), "PH-23: a stranger is shown in {case:?}");
    }
    for secret in &world.secrets {
        holds!(secret.times_spent <= 1, "I6: {secret:?} worked twice");
        let live = secret.state == ChallengeState::Live;
        let fresh = |(account, epoch): (usize, i64)| world.accounts[account].epoch == epoch;
        let owned = |account: usize| world.accounts[account].beneath() == AccountState::Claimed;
        let unbound_and_owned = secret.bound.is_none() && world.account_of(secret.address).is_some_and(owned);
        holds!(!live || secret.bound.is_none_or(fresh) && !unbound_and_owned, "I3: {secret:?} outlived a purge");
    }
    for (n, session) in world.sessions.iter().enumerate() {
        let turns = (0..=session.counter + 1).map(|counter| world.turn(n, counter));
        let leaves = turns.filter(|turn| *turn == Turn::Rotate).count();
        holds!(leaves <= usize::from(!session.ended), "I10: {leaves} live leaves of {session:?}");
    }
    Ok(())
}

/// I2, I4 and I5 for one account, and rule 10: what one holds and sees is what one has proven.
fn account_holds(world: &World, n: usize) -> Checked {
    let account = &world.accounts[n];
    let live = || world.sessions.iter().filter(|session| session.account == n && !session.ended);
    let holding = world.identities_of(n);
    holds!(!holding.is_empty(), "account {n} is nobody's");
    if account.beneath() == AccountState::Unclaimed {
        holds!(
            account.password.is_none() && account.proven.is_empty() && live().count() == 0,
            "I5: {account:?} has a way in"
        );
        return Ok(());
    }
    holds!(holding == account.proven, "rule 10: claimed by {:?}, holding {holding:?}", account.proven);
    let owners: HashSet<Person> = account.proven.iter().filter_map(|key| key.reader()).collect();
    holds!(owners.len() == 1, "I1: {owners:?} own one account");
    let is_owner = |who: &Person| owners.contains(who);
    holds!(account.password.as_ref().is_some_and(is_owner), "I2, PH-11: another's password opens {account:?}");
    holds!(live().all(|s| is_owner(&s.by) && s.epoch == account.epoch), "I2, PH-02: another's session is open");
    let reads = |case: &&Case| case.account == n;
    let proven = world.cases.iter().filter(reads).all(|case| account.proven.contains(&case.requester));
    holds!(proven, "I4: account {n} reads what it has not proven");
    Ok(())
}
