//! What one step may do, and what must hold after it.

use std::collections::HashSet;

use super::super::{Answer, Arriving, Ask, Desk, Linking, Outcome};
use super::model::{Case, Happened, Login, Secret, World};
use super::people::{Key, Person, Said, Switch};
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
        Answer::Notice
        | Answer::SocialEmail
        | Answer::LinkNotice
        | Answer::AddEmail
        | Answer::AddEmailNotice
        | Answer::Nothing => return Ok(()),
    };
    let newest = &world.secrets[world.secrets.len() - 1];
    let rivals =
        world.secrets.iter().filter(|s| (s.address, s.purpose, s.state) == (address, newest.purpose, newest.state));
    holds!(rivals.count() == 1, "an older mail of the purpose is good too");
    let mut then = world.clone();
    let Happened::Spent(_, outcome, _) = then.present(world.secrets.len() - 1, desk, false) else {
        return Err(format!("the secret of {answer:?} to {address:?} is good for nothing"));
    };
    let recovers = outcome == Outcome::Recover;
    holds!(recovers == (answer == Answer::Reset), "{what:?} mailed {answer:?}, which led to {outcome:?}");
    Ok(())
}

/// Rules 8 to 10: the reader of the address has the account now, with that address's history; nobody else's changed.
pub fn owned_by_proof(before: &World, after: &World, n: usize, outcome: Outcome, account: usize) -> Checked {
    let (secret, address) = (&before.secrets[n], before.secrets[n].address);
    let owner = &after.accounts[account];
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

    holds!(owner.password == address.reader(), "{address:?} has not got it");
    is_claimed(before, after, &[address], account)
}

/// Rule 9: what was proven is one account's with all that came by it; nothing older opens it, and nobody else's
/// account has changed but those that had a part of it and no owner.
fn is_claimed(before: &World, after: &World, proven: &[Key], account: usize) -> Checked {
    let owner = &after.accounts[account];
    holds!(owner.state == AccountState::Claimed, "{proven:?} led to {owner:?}");
    for key in proven {
        holds!(owner.proven.contains(key) && after.account_of(*key) == Some(account), "no proof of {key:?} is kept");
        let left = after.cases.iter().filter(|case| case.requester == Some(*key)).any(|case| case.account != account);
        holds!(!left, "a conversation of {key:?} stayed behind");
    }
    let epoch = before.accounts.get(account).map_or(1, |account| account.epoch);
    holds!(owner.epoch > epoch, "rule 9: the epoch was not raised");
    holds!(after.accounts.len() == before.accounts.len().max(account + 1), "one account too many");
    only_unclaimed_gave(before, after, proven, &[account])?;
    let dead = |at: usize, login: &Login| login.account != account || after.sessions[at].ended;
    holds!(before.sessions.iter().enumerate().all(|(at, login)| dead(at, login)), "PH-02, RS-08: a session survived");
    let asked = after.waiting.iter().flat_map(|flow| &flow.asked);
    let live =
        after.secrets.iter().chain(asked).any(|s| s.state == ChallengeState::Live && proven.contains(&s.address));
    holds!(!live, "RS-10: another secret of the address survived");
    Ok(())
}

/// Of all other accounts only those change that had one of these keys and no owner: an empty one has become part.
fn only_unclaimed_gave(before: &World, after: &World, keys: &[Key], but: &[usize]) -> Checked {
    for (n, old) in before.accounts.iter().enumerate().filter(|(n, _)| !but.contains(n)) {
        if after.accounts[n] == *old {
            continue;
        }
        let had_only_these = before.identities_of(n).iter().all(|key| keys.contains(key));
        let merged = old.state == AccountState::Unclaimed && after.accounts[n].state == AccountState::Merged;
        holds!(merged && had_only_these, "another's account changed: {old:?} is {:?}", after.accounts[n]);
    }
    Ok(())
}

/// Rule 8 for whoever arrives: by which row, and that it did no more.
pub fn arrived(
    before: &World,
    after: &World,
    subject: Key,
    said: Said,
    arriving: Arriving,
    account: Option<usize>,
) -> Checked {
    let held = before.account_of(subject).map(|held| (held, before.accounts[held].state));
    let off = before.has_thrown(Switch::SocialOff);
    holds!((arriving == Arriving::Off) == off, "AD-01: {arriving:?} where the road is off: {off}");
    let counts = match said {
        Said::Proven(key) if subject.provider().is_some_and(|name| name.as_str() == "google") => {
            Some(key).filter(|_| !before.has_thrown(Switch::GoogleProvesNothing))
        }
        _ => None,
    };
    let but_flows = |world: &World| World { waiting: Vec::new(), sessions: Vec::new(), ..world.clone() };
    match (arriving, account) {
        (Arriving::SignIn, Some(account)) => {
            holds!(held == Some((account, AccountState::Claimed)), "{subject:?} signed in to {account}");
            holds!(but_flows(before) == but_flows(after), "signing in changed an account");
        }
        (Arriving::OwnSubject, Some(account)) => {
            let unclaimed = held.is_some_and(|(_, state)| state == AccountState::Unclaimed);
            holds!(unclaimed, "{subject:?} was {held:?}");
            is_claimed(before, after, &[subject], account)?;
        }
        (Arriving::OwnBoth, Some(account)) => {
            let Some(address) = counts else { return Err(format!("PH-07: {said:?} of {subject:?} counted")) };
            holds!(held.is_none(), "{subject:?} was {held:?}");
            let was = before.account_of(address).map(|n| before.accounts[n].state);
            holds!(matches!(was, None | Some(AccountState::Unclaimed)), "PH-01: {address:?} was {was:?}");
            is_claimed(before, after, &[address, subject], account)?;
        }
        (Arriving::EmailRequired, None) => {
            holds!(held.is_none(), "{subject:?} was {held:?}");
            holds!(
                before.sessions == after.sessions && but_flows(before) == but_flows(after),
                "rule 2: arriving changed an account"
            );
        }
        (Arriving::LinkRequired | Arriving::Closed | Arriving::Off, None) => {
            holds!(before == after, "{arriving:?} changed something");
        }
        (other, account) => return Err(format!("{other:?} led to {account:?}")),
    }
    if let Some(login) = after.sessions.get(before.sessions.len()) {
        holds!(login.by == subject.owner() && Some(login.account) == account, "{login:?} of {subject:?}");
    }
    Ok(())
}

/// PH-15, PH-17: both secrets made one account of what was nobody's.
pub fn proved(before: &World, after: &World, subject: Key, outcome: Outcome, account: usize) -> Checked {
    let new: Vec<Key> = after.accounts[account].proven.clone();
    let addresses: Vec<Key> = new.iter().copied().filter(|key| key.provider().is_none()).collect();
    holds!(new.contains(&subject), "{subject:?} is not there");
    for key in &new {
        let was = before.account_of(*key).map(|n| before.accounts[n].state);
        holds!(matches!(was, None | Some(AccountState::Unclaimed)), "PH-17: {key:?} was {was:?}");
        holds!(key.owner() == subject.owner(), "PH-15: {key:?} was attached to {subject:?}");
    }
    holds!(addresses.len() == 1, "{addresses:?} were proven by one code");
    let creates = before.account_of(addresses[0]).is_none();
    holds!((outcome == Outcome::Create) == creates, "{outcome:?} where {addresses:?} was new: {creates}");
    holds!(!creates || !before.has_thrown(Switch::KnownOnly), "sign-up is for known people only");
    holds!(!before.has_thrown(Switch::SocialOff), "AD-01: a flow went on where its road is off");
    is_claimed(before, after, &new, account)
}

/// Rule 12: it is one's own, or nothing has happened.
pub fn linked(before: &World, after: &World, subject: Key, linking: Linking, account: usize) -> Checked {
    let was = before.account_of(subject).map(|held| (held, before.accounts[held].state));
    match linking {
        Linking::Attach => {
            let nobodys = was.is_none_or(|(_, state)| state == AccountState::Unclaimed);
            holds!(nobodys, "OA-30: {subject:?} was {was:?}");
            holds!(after.account_of(subject) == Some(account), "it is not there");
            let (old, new) = (&before.accounts[account], &after.accounts[account]);
            holds!(old.epoch == new.epoch && old.password == new.password, "linking changed more");
            only_unclaimed_gave(before, after, &[subject], &[account])?;
            holds!(before.sessions == after.sessions && before.secrets == after.secrets, "linking reached further");
        }
        Linking::Already | Linking::Taken => holds!(before == after, "{linking:?} changed something"),
    }
    Ok(())
}

/// Rule 12, I9, SE-15, SE-16.
pub fn unlinked(before: &World, after: &World, key: Key, account: usize) -> Checked {
    holds!(after.account_of(key).is_none(), "{key:?} is still somebody's");
    holds!(!after.usable(account).is_empty(), "I9, SE-16: nothing is left to sign in with");
    let opened = after.sessions.iter().any(|login| login.with == Some(key) && !login.ended && login.account == account);
    holds!(!opened, "SE-15: a session of it lives on");
    let seen = |world: &World| world.cases.iter().filter(|case| case.account == account).count();
    holds!(seen(before) == seen(after), "history that was opened has gone");
    Ok(())
}

/// Rule 15.
pub fn merged(before: &World, after: &World, to: usize, from: usize) -> Checked {
    let (survivor, source) = (&after.accounts[to], &after.accounts[from]);
    holds!(source.state == AccountState::Merged && after.identities_of(from).is_empty(), "{source:?} is still there");
    let all: HashSet<Key> = [before.identities_of(to), before.identities_of(from)].concat().into_iter().collect();
    holds!(after.identities_of(to).into_iter().collect::<HashSet<_>>() == all, "an identity was lost");
    holds!(survivor.password == before.accounts[to].password, "a password came along");
    holds!(
        !after.sessions.iter().any(|login| login.account == from && !login.ended),
        "a session of the source lives on"
    );
    holds!(!after.cases.iter().any(|case| case.account == from), "a conversation stayed behind");
    for (n, old) in before.accounts.iter().enumerate().filter(|(n, _)| ![to, from].contains(n)) {
        holds!(after.accounts[n] == *old, "another's account changed");
    }
    Ok(())
}

/// Rules 2 and 12, PH-09: an address that is pending is nobody's, whatever else it is.
pub fn only_pending(before: &World, after: &World, address: Key, answer: Answer) -> Checked {
    let but_sessions = |world: &World| World { sessions: Vec::new(), ..world.clone() };
    holds!(but_sessions(before) == but_sessions(after), "PH-09: asking to add {address:?} changed an account");
    let secrets = |world: &World| world.sessions.iter().flat_map(|login| &login.adding).count();
    let new = secrets(after) > secrets(before);
    holds!(!new || answer.carries_a_secret(), "{answer:?} to {address:?} came with a secret");
    Ok(())
}

/// Rules 12 and 13: as linking, by who reads the address's mail; whoever was there before is told, and may undo it.
pub fn added(before: &World, after: &World, address: Key, linking: Linking, account: usize) -> Checked {
    let but_mails = |world: &World| {
        let mut world = world.clone();
        world.sessions.iter_mut().for_each(|login| login.adding.clear());
        world.secrets.retain(|secret| secret.address != address);
        World { undos: Vec::new(), tick: 0, ..world }
    };
    linked(&but_mails(before), &but_mails(after), address, linking, account)?;
    let older = |s: &Secret| s.address == address && s.state == ChallengeState::Live && s.bound.is_none();
    holds!(linking != Linking::Attach || !after.secrets.iter().any(older), "I3: what was mailed before is still good");
    let told = |key: &Key| after.undos.iter().any(|undo| (undo.address, undo.account) == (*key, account));
    holds!(linking != Linking::Attach || before.addresses_of(account).iter().all(told), "EM-13: nobody was told");
    Ok(())
}

/// Rule 13: an undo purges, and takes nothing of anybody else's.
pub fn undone(before: &World, after: &World, account: usize) -> Checked {
    let (old, new) = (&before.accounts[account], &after.accounts[account]);
    holds!(new.epoch > old.epoch, "EM-13: the epoch was not raised");
    let live = after.sessions.iter().any(|login| login.account == account && !login.ended);
    holds!(!live, "EM-13: a session survived");
    let came: Vec<Key> = new.proven.iter().copied().filter(|key| !old.proven.contains(key)).collect();
    only_unclaimed_gave(before, after, &came, &[account])
}

/// I10, and rule 14 at a refresh.
pub fn turned(before: &World, after: &World, session: usize, turn: Turn) -> Checked {
    let (old, new) = (&before.sessions[session], &after.sessions[session]);
    let account = &before.accounts[old.account];
    let allowed = account.state == AccountState::Claimed
        && before.settings().offers(&old.method).is_ok()
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
        let with_requester = case.requester.is_none_or(|key| world.account_of(key) == Some(case.account));
        holds!(with_requester, "I4: {case:?} is not with its requester");
        let proven = &world.accounts[case.account].ever;
        let may_be_shown = |writer: &Key| *writer == case.thread || proven.contains(writer);
        holds!(case.shown.iter().all(may_be_shown), "PH-23: a stranger is shown in {case:?}");
    }
    for secret in world.secrets.iter().chain(world.waiting.iter().flat_map(|flow| &flow.asked)) {
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
    if account.beneath() == AccountState::Merged {
        let nothing = holding.is_empty() && account.password.is_none() && account.proven.is_empty();
        holds!(nothing && live().count() == 0, "a merged account has something: {account:?}");
        return Ok(());
    }
    holds!(!holding.is_empty(), "account {n} is nobody's");
    if account.beneath() == AccountState::Unclaimed {
        holds!(
            account.password.is_none() && account.proven.is_empty() && live().count() == 0,
            "I5: {account:?} has a way in"
        );
        return Ok(());
    }
    holds!(holding == account.proven, "rule 10: claimed by {:?}, holding {holding:?}", account.proven);
    let owners: HashSet<Person> = account.ever.iter().map(|key| key.owner()).collect();
    holds!(owners.len() == 1, "I1: {owners:?} own one account");
    let is_owner = |who: &Person| owners.contains(who);
    holds!(account.password.as_ref().is_none_or(is_owner), "I2, PH-11: another's password opens {account:?}");
    holds!(!account.proven.is_empty(), "I9: {account:?} has no way in");
    holds!(live().all(|s| is_owner(&s.by) && s.epoch == account.epoch), "I2, PH-02: another's session is open");
    let reads = |case: &&Case| case.account == n;
    let proven = world.cases.iter().filter(reads).all(|case| account.ever.contains(&case.thread));
    holds!(proven, "I4: account {n} reads what it has not proven");
    Ok(())
}
