//! What may happen, and what one step of it may do.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Ask, Desk};
use super::invariants::{
    Checked, added, arrived, holds, invariants, is_kept, linked, merged, only_asked, only_observed, only_pending,
    owned_by_proof, proved, turned, undone, unlinked,
};
use super::model::{Happened, World};
use super::people::{Key, Person, Said, Switch};
use crate::limits;

/// Indices count back from the latest, round and round, so that every number names something.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// The desk pushes a message of whoever has the keys (the channel's first) into the case of a requester.
    Push {
        keys: &'static [Key],
        case: Key,
        spoofed: bool,
    },
    /// Anybody asks for a mail to an address.
    Ask {
        what: Ask,
        address: Key,
        arrives: bool,
    },
    /// Whoever reads the address's mail presents a secret.
    Present {
        secret: usize,
        desk: Desk,
        unlink_others: bool,
    },
    /// With the password this person chooses everywhere.
    SignIn {
        who: Person,
        address: Key,
    },
    /// Anybody presents any token a session ever had.
    Refresh {
        session: usize,
        counter: i64,
    },
    /// A provider says who has arrived, and what it says of an address.
    Arrive {
        subject: Key,
        said: Said,
    },
    /// Whoever has the continuation of a flow says which address is theirs.
    GiveEmail {
        flow: usize,
        address: Key,
        arrives: bool,
    },
    /// Whoever has both a continuation and its mailbox shows the code.
    ProveEmail {
        flow: usize,
    },
    Link {
        session: usize,
        subject: Key,
    },
    Unlink {
        session: usize,
        key: Key,
    },
    Merge {
        survivor: usize,
        source: usize,
    },
    /// The holder of a session asks to add an address to its account.
    AskToAdd {
        session: usize,
        address: Key,
        arrives: bool,
    },
    /// The holder of a session, who reads that address's mail, shows what was mailed.
    ProveAdded {
        session: usize,
        address: Key,
    },
    RemoveEmail {
        session: usize,
        key: Key,
    },
    /// Whoever reads the mail that told of a change undoes it.
    Undo {
        undo: usize,
        unlink_others: bool,
    },
    Flip(Switch),
    /// An admin disables an account, or enables it again.
    Bar(usize),
    Wait(Duration),
}

pub fn happen(world: &mut World, event: Event) -> Happened {
    let back = |n: usize, length: usize| length.checked_sub(1).map(|last| last - n % length);
    let named = match event {
        Event::Present { secret: n, .. } => back(n, world.secrets.len()),
        Event::Refresh { session: n, .. }
        | Event::Link { session: n, .. }
        | Event::Unlink { session: n, .. }
        | Event::AskToAdd { session: n, .. }
        | Event::ProveAdded { session: n, .. }
        | Event::RemoveEmail { session: n, .. } => back(n, world.sessions.len()),
        Event::Undo { undo: n, .. } => back(n, world.undos.len()),
        Event::Merge { survivor: n, .. } => back(n, world.sessions.len()),
        Event::GiveEmail { flow: n, .. } | Event::ProveEmail { flow: n } => back(n, world.waiting.len()),
        Event::Bar(n) => back(n, world.accounts.len()),
        _ => Some(0),
    };
    match (event, named) {
        (_, None) => return Happened::Nothing,
        (Event::Push { keys, case, spoofed }, _) => return world.push(keys, case, spoofed),
        (Event::Ask { what, address, arrives }, _) => return world.ask(what, address, arrives),
        (Event::Present { desk, unlink_others, .. }, Some(secret)) => {
            return world.present(secret, desk, unlink_others);
        }
        (Event::SignIn { who, address }, _) => return world.sign_in(who, address),
        (Event::Refresh { counter, .. }, Some(session)) => return world.refresh(session, counter),
        (Event::Arrive { subject, said }, _) => return world.arrive(subject, said),
        (Event::GiveEmail { address, arrives, .. }, Some(flow)) => return world.give_email(flow, address, arrives),
        (Event::ProveEmail { .. }, Some(flow)) => return world.prove_email(flow),
        (Event::Link { subject, .. }, Some(session)) => return world.link(session, subject),
        (Event::Unlink { key, .. }, Some(session)) => return world.unlink(session, key),
        (Event::Merge { source, .. }, Some(survivor)) => {
            return world.merge(survivor, source % world.sessions.len());
        }
        (Event::AskToAdd { address, arrives, .. }, Some(session)) => {
            return world.ask_to_add(session, address, arrives);
        }
        (Event::ProveAdded { address, .. }, Some(session)) => return world.prove_added(session, address),
        (Event::RemoveEmail { key, .. }, Some(session)) => return world.remove_email(session, key),
        (Event::Undo { unlink_others, .. }, Some(undo)) => return world.undo(undo, unlink_others),
        (Event::Flip(switch), _) => world.flip(switch),
        (Event::Bar(_), Some(account)) => world.bar(account),
        (Event::Wait(time), _) => world.wait(time),
    }
    Happened::Nothing
}

/// One step: it does no more than it may, and all invariants hold after it.
pub fn step(world: &mut World, event: Event) -> Checked<Happened> {
    let before = world.clone();
    let happened = happen(world, event);
    match (event, happened) {
        (Event::Push { spoofed, .. }, _) => only_observed(&before, world, spoofed)?,
        (Event::Ask { what, address, arrives }, Happened::Answered(answer)) => {
            only_asked(&before, world, arrives)?;
            if arrives {
                is_kept(world, what, address, answer)?;
            }
        }
        (Event::Present { .. }, Happened::Spent(secret, outcome, account)) => {
            owned_by_proof(&before, world, secret, outcome, account)?;
        }
        (Event::Refresh { .. }, Happened::Turned(session, turn)) => turned(&before, world, session, turn)?,
        (Event::SignIn { who, address }, Happened::SignedIn) => {
            holds!(address.reader() == Some(who), "PH-01: {who:?} signed in to {address:?}");
        }
        (Event::Arrive { subject, said }, Happened::Arrived(arriving, account)) => {
            arrived(&before, world, subject, said, arriving, account)?;
        }
        (Event::GiveEmail { .. }, Happened::Answered(_)) => {
            let but_flows = |world: &World| World { waiting: Vec::new(), ..world.clone() };
            holds!(but_flows(&before) == but_flows(world), "rule 2: giving an address changed an account");
        }
        (Event::ProveEmail { flow }, Happened::Proved(outcome, account)) => {
            let last = before.waiting.len() - 1;
            proved(&before, world, before.waiting[last - flow % (last + 1)].subject, outcome, account)?;
        }
        (Event::Link { subject, .. }, Happened::Linked(linking, account)) => {
            linked(&before, world, subject, linking, account)?;
        }
        (Event::Unlink { key, .. }, Happened::Unlinked(account)) => unlinked(&before, world, key, account)?,
        (Event::Merge { .. }, Happened::Merged(to, from)) => merged(&before, world, to, from)?,
        (Event::AskToAdd { address, .. }, Happened::Answered(answer)) => only_pending(&before, world, address, answer)?,
        (Event::ProveAdded { address, .. }, Happened::Linked(linking, account)) => {
            added(&before, world, address, linking, account)?;
        }
        (Event::RemoveEmail { key, .. }, Happened::Removed(account)) => {
            unlinked(&before, world, key, account)?;
            holds!(world.undos.iter().any(|undo| undo.address == key), "EM-13: {key:?} was not told");
        }
        (Event::Undo { .. }, Happened::Undone(account)) => undone(&before, world, account)?,
        (_, Happened::Nothing) => {
            let may_change = matches!(event, Event::Flip(_) | Event::Bar(_) | Event::Wait(_));
            holds!(may_change || *world == before, "{event:?} was refused and changed something all the same");
        }
        (_, other) => return Err(format!("{event:?} cannot lead to {other:?}")),
    }
    invariants(world).map(|()| happened)
}

pub const PARTIES: &[&[Key]] = &[
    &[Key::Ada],
    &[Key::Mallory],
    &[Key::AdaTweets],
    &[Key::AdaTweets, Key::Ada],
    &[Key::Ada, Key::AdaTweets],
    &[Key::Mallory, Key::Ada],
    &[Key::AdaAtWork, Key::Ada],
    &[Key::AdaTweets, Key::Mallory, Key::Ada],
];
const WAITS: [Duration; 5] = [
    limits::UNDO_LIFE,
    Duration::from_secs(10),
    Duration::from_secs(31),
    limits::LINK_LIFE,
    Duration::from_secs(13 * 86_400),
];
const SWITCHES: [Switch; 6] = [
    Switch::PasswordOff,
    Switch::KnownOnly,
    Switch::BlockAda,
    Switch::HoldUnknown,
    Switch::SocialOff,
    Switch::GoogleProvesNothing,
];
pub const SUBJECTS: [Key; 4] = [Key::AdaTweets, Key::MalloryTweets, Key::AdaGoogle, Key::MalloryGoogle];

/// What a provider may say of a subject's address: its owner's where it counts, and anything as a hint.
pub fn may_say(subject: Key) -> Vec<Said> {
    let mut said = vec![Said::Nothing, Said::Hint(Key::Ada)];
    match subject {
        Key::AdaGoogle => said.extend([Said::Proven(Key::Ada), Said::Proven(Key::AdaAtWork)]),
        Key::MalloryGoogle => said.push(Said::Proven(Key::Mallory)),
        // X never proves one, whatever it is made to say
        _ => said.push(Said::Proven(Key::Ada)),
    }
    said
}
pub const DESKS: [Desk; 2] = [Desk::SignUp, Desk::PasswordReset];

pub fn any_event() -> impl Strategy<Value = Event> {
    let key = || select(vec![Key::Ada, Key::Ada, Key::AdaAtWork, Key::Mallory, Key::AdaTweets]);
    let address = || select(vec![Key::Ada, Key::Ada, Key::AdaAtWork, Key::Mallory]);
    let who = select(vec![Person::Ada, Person::Mallory]);
    let what = select(vec![Ask::SignUp, Ask::PasswordReset]);
    prop_oneof![
        4 => (select(PARTIES), key(), prop::bool::weighted(0.2))
            .prop_map(|(keys, case, spoofed)| Event::Push { keys, case, spoofed }),
        5 => (what, address(), prop::bool::weighted(0.9))
            .prop_map(|(what, address, arrives)| Event::Ask { what, address, arrives }),
        6 => (0..6_usize, select(&DESKS[..]), prop::bool::weighted(0.2))
            .prop_map(|(secret, desk, unlink_others)| Event::Present { secret, desk, unlink_others }),
        2 => (who, address()).prop_map(|(who, address)| Event::SignIn { who, address }),
        3 => (0..4_usize, 0..4_i64).prop_map(|(session, counter)| Event::Refresh { session, counter }),
        5 => select(&SUBJECTS[..])
            .prop_flat_map(|subject| select(may_say(subject)).prop_map(move |said| Event::Arrive { subject, said })),
        4 => (0..3_usize, address(), prop::bool::weighted(0.9))
            .prop_map(|(flow, address, arrives)| Event::GiveEmail { flow, address, arrives }),
        4 => (0..3_usize).prop_map(|flow| Event::ProveEmail { flow }),
        3 => (0..4_usize, select(&SUBJECTS[..])).prop_map(|(session, subject)| Event::Link { session, subject }),
        2 => (0..4_usize, select(&SUBJECTS[..])).prop_map(|(session, key)| Event::Unlink { session, key }),
        2 => (0..4_usize, 0..6_usize).prop_map(|(survivor, source)| Event::Merge { survivor, source }),
        3 => (0..4_usize, address(), prop::bool::weighted(0.9))
            .prop_map(|(session, address, arrives)| Event::AskToAdd { session, address, arrives }),
        3 => (0..4_usize, address()).prop_map(|(session, address)| Event::ProveAdded { session, address }),
        2 => (0..4_usize, address()).prop_map(|(session, key)| Event::RemoveEmail { session, key }),
        2 => (0..4_usize, any::<bool>()).prop_map(|(undo, unlink_others)| Event::Undo { undo, unlink_others }),
        1 => select(&SWITCHES[..]).prop_map(Event::Flip),
        1 => (0..4_usize).prop_map(Event::Bar),
        1 => select(&WAITS[..]).prop_map(Event::Wait),
    ]
}
