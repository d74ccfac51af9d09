//! Rule 13: Mallory has a fresh session of Ada's account, and does what they can in any order. Ada still gets it back,
//! and for herself alone.

use std::collections::HashSet;

use super::super::{Ask, Desk};
use super::events::{Event, happen};
use super::model::{Happened, World};
use super::people::{Key, Person, Said};
use super::stories::tidy;
use crate::account::AccountState;
use crate::challenge::ChallengeState;

/// Ada's account, which is number 0, with these addresses, and a fresh session of it in Mallory's hands.
fn stolen(addresses: &[Key]) -> World {
    let mut world = World::default();
    let happens = |world: &mut World, event| assert_ne!(happen(world, event), Happened::Nothing, "{event:?}");
    happens(&mut world, Event::Ask { what: Ask::SignUp, address: Key::Ada, arrives: true });
    happens(&mut world, Event::Present { secret: 0, desk: Desk::SignUp, unlink_others: false });
    for address in &addresses[1..] {
        happens(&mut world, Event::AskToAdd { session: 0, address: *address, arrives: true });
        happens(&mut world, Event::ProveAdded { session: 0, address: *address });
    }
    // that was long ago
    world.undos.clear();
    world.sessions[0].by = Person::Mallory;
    world
}

/// The same, and Mallory has an account of their own by an address, which is older than Ada's or younger, or by a tweet.
fn stolen_by_a_customer(own: Key, older: bool) -> World {
    let mut world = stolen(&[Key::Ada]);
    let happens = |world: &mut World, event| assert_ne!(happen(world, event), Happened::Nothing, "{event:?}");
    if own == Key::Mallory {
        happens(&mut world, Event::Ask { what: Ask::SignUp, address: own, arrives: true });
        happens(&mut world, Event::Present { secret: 0, desk: Desk::SignUp, unlink_others: false });
    } else {
        happens(&mut world, Event::Push { keys: &[Key::MalloryTweets], case: Key::MalloryTweets, spoofed: false });
        happens(&mut world, Event::Arrive { subject: own, said: Said::Nothing });
    }
    if older {
        world.accounts[1].since.iter_mut().for_each(|(_, since)| *since = 0);
    }
    world
}

/// All that Mallory can do with the session and their own mailbox.
fn of_a_thief(world: &World) -> Vec<Event> {
    let mut events = vec![Event::Ask { what: Ask::PasswordReset, address: Key::Mallory, arrives: true }];
    events.push(Event::SignIn { who: Person::Mallory, address: Key::Mallory });
    for secret in 0..world.secrets.len() {
        let to = world.secrets[world.secrets.len() - 1 - secret].address;
        if to.reader() == Some(Person::Mallory) {
            let present = |unlink_others| Event::Present { secret, desk: Desk::PasswordReset, unlink_others };
            events.extend([present(true), present(false)]);
        }
    }
    for (n, login) in world.sessions.iter().rev().enumerate() {
        if login.by == Person::Mallory && !login.ended {
            events.push(Event::AskToAdd { session: n, address: Key::Mallory, arrives: true });
            events.push(Event::ProveAdded { session: n, address: Key::Mallory });
            events.extend([Key::Ada, Key::AdaAtWork, Key::Mallory].map(|key| Event::RemoveEmail { session: n, key }));
            events.push(Event::Link { session: n, subject: Key::MalloryTweets });
            events.push(Event::Unlink { session: n, key: Key::MalloryTweets });
        }
    }
    let live: Vec<usize> = (0..world.sessions.len())
        .filter(|n| {
            let login = &world.sessions[world.sessions.len() - 1 - n];
            login.by == Person::Mallory && !login.ended
        })
        .collect();
    for survivor in &live {
        events.extend(
            live.iter()
                .map(|n| world.sessions.len() - 1 - n)
                .map(|source| Event::Merge { survivor: *survivor, source }),
        );
    }
    for (n, undo) in world.undos.iter().rev().enumerate() {
        if undo.address.reader() == Some(Person::Mallory) {
            events.extend([true, false].map(|unlink_others| Event::Undo { undo: n, unlink_others }));
        }
    }
    events
}

/// Ada reads her mail: what she was mailed last undoes it, or forgot password drops the others.
fn takes_back(world: &mut World) -> Result<(), String> {
    let mailed = world.undos.iter().rev().position(|undo| undo.address == Key::Ada);
    if let Some(undo) = mailed {
        let happened = happen(world, Event::Undo { undo, unlink_others: true });
        return if happened == Happened::Undone(0) { Ok(()) } else { Err(format!("the undo led to {happened:?}")) };
    }
    if world.account_of(Key::Ada) != Some(0) {
        return Err("Ada's address has gone, and she has no undo".to_owned());
    }
    happen(world, Event::Ask { what: Ask::PasswordReset, address: Key::Ada, arrives: true });
    let happened = happen(world, Event::Present { secret: 0, desk: Desk::PasswordReset, unlink_others: true });
    if matches!(happened, Happened::Spent(..)) { Ok(()) } else { Err(format!("forgot password led to {happened:?}")) }
}

fn is_adas_alone(world: &World) -> bool {
    let account = &world.accounts[0];
    let live = world.sessions.iter().any(|login| login.account == 0 && !login.ended && login.by == Person::Mallory);
    let secret = world.secrets.iter().any(|secret| {
        let theirs = secret.address.reader() == Some(Person::Mallory);
        theirs && secret.state == ChallengeState::Live && secret.bound.is_some_and(|(bound, _)| bound == 0)
    });
    let undo = world.undos.iter().any(|undo| undo.account == 0 && undo.address.reader() == Some(Person::Mallory));
    account.state == AccountState::Claimed
        && account.proven == [Key::Ada]
        && account.password == Some(Person::Ada)
        && !(live || secret || undo)
}

/// Tries every sequence of a thief's events up to a length, with Ada's answer after each. Gives how many worlds that was.
fn explore(world: World, length: usize) -> usize {
    let mut seen = HashSet::from([world.clone()]);
    let mut edge = vec![(world, Vec::new())];
    for _ in 0..length {
        for (world, story) in std::mem::take(&mut edge) {
            for event in of_a_thief(&world) {
                let (mut then, mut story): (World, Vec<Event>) = (world.clone(), story.clone());
                story.push(event);
                happen(&mut then, event);
                tidy(&mut then);
                if !seen.insert(then.clone()) {
                    continue;
                }
                let mut answered = then.clone();
                takes_back(&mut answered).unwrap_or_else(|why| panic!("{why}\nafter {story:#?}"));
                assert!(is_adas_alone(&answered), "{answered:#?}\nafter {story:#?}");
                for late in of_a_thief(&answered) {
                    let mut later = answered.clone();
                    happen(&mut later, late);
                    let same = (&later.accounts[0].proven, later.accounts[0].password);
                    assert_eq!(same, (&vec![Key::Ada], Some(Person::Ada)), "{late:?}\nafter {story:#?}");
                }
                edge.push((then, story));
            }
        }
    }
    seen.len()
}

#[test]
fn em_13_ada_gets_her_account_back_after_every_order_of_a_thiefs_eight_events() {
    for addresses in [&[Key::Ada][..], &[Key::Ada, Key::AdaAtWork]] {
        let worlds = explore(stolen(addresses), 8);
        println!("{addresses:?}: {worlds} worlds");
        assert!(worlds > 100);
    }
}

#[test]
fn em_13_ada_gets_her_account_back_from_a_thief_who_has_an_account_of_their_own() {
    for (own, older) in [(Key::Mallory, true), (Key::Mallory, false), (Key::MalloryTweets, true)] {
        let worlds = explore(stolen_by_a_customer(own, older), 5);
        println!("{own:?}, older: {older}: {worlds} worlds");
        assert!(worlds > 100);
    }
}

/// The thief wins where nobody can undo: what is tried above is not tried in vain.
#[test]
fn without_an_undo_the_account_would_be_gone() {
    let mut world = stolen(&[Key::Ada]);
    for event in [
        Event::AskToAdd { session: 0, address: Key::Mallory, arrives: true },
        Event::ProveAdded { session: 0, address: Key::Mallory },
        Event::RemoveEmail { session: 0, key: Key::Ada },
    ] {
        assert_ne!(happen(&mut world, event), Happened::Nothing, "{event:?}");
    }
    world.undos.clear();
    assert!(takes_back(&mut world).is_err());
}
