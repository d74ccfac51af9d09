//! Every order of events, made in two ways: at random, and all of them up to a length.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{Answer, Arriving, Ask, Desk, Linking, Outcome};
use super::events::{DESKS, Event, PARTIES, SUBJECTS, any_event, may_say, step};
use super::invariants::{Checked, holds};
use super::model::{Happened, World};
use super::people::{Key, Person, Switch};
use crate::account::AccountState;
use crate::challenge::ChallengeState;
use crate::limits;
use crate::session::{EndReason, Turn};

/// The end of every story: all switches back, Ada asks for a new password, and has one account with all that came
/// by her address and nothing else.
fn comes_home(mut world: World) -> Checked {
    world.thrown.clear();
    for n in 0..world.accounts.len() {
        if world.accounts[n].state == AccountState::Disabled {
            world.bar(n);
        }
    }
    let back_before = world.account_of(Key::Ada).filter(|n| world.accounts[*n].state == AccountState::Claimed);
    let by_sign_up = Happened::Answered(if back_before.is_some() { Answer::Notice } else { Answer::SignUp });
    holds!(world.clone().ask(Ask::SignUp, Key::Ada, true) == by_sign_up, "sign-up is not {by_sign_up:?}");
    step(&mut world, Event::Ask { what: Ask::PasswordReset, address: Key::Ada, arrives: true })?;
    step(&mut world, Event::Present { secret: 0, desk: Desk::PasswordReset, unlink_others: false })?;
    let home = world.account_of(Key::Ada).ok_or("Ada has no account")?;
    holds!(back_before.is_none_or(|before| before == home), "recovery led to another account");
    let account = &world.accounts[home];
    holds!(account.proven.contains(&Key::Ada), "Ada's account is {account:?}");
    let hers = world.cases.iter().filter(|case| case.account == home);
    holds!(hers.clone().all(|case| account.ever.contains(&case.thread)), "Ada reads what she has not proven");
    let came_by = world.cases.iter().filter(|case| case.requester.is_some_and(|key| account.proven.contains(&key)));
    holds!(came_by.clone().all(|case| case.account == home), "Ada's history is not all there");
    let alone = account.ever == [Key::Ada];
    holds!(!alone || hers.count() == came_by.count(), "Ada's history is not what came by her address");
    holds!(world.sign_in(Person::Mallory, Key::Ada) == Happened::Nothing, "PH-01: Mallory is in");
    holds!(world.sign_in(Person::Ada, Key::Ada) == Happened::SignedIn, "Ada is not in");
    let again = world.ask(Ask::SignUp, Key::Ada, true);
    holds!(again == Happened::Answered(Answer::Notice), "EN-04: a claimed address gets {again:?} from sign-up");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn i1_to_i6_and_i10_hold_after_any_events(events in prop::collection::vec(any_event(), 1..60)) {
        let mut world = World::default();
        for event in events {
            let kept = step(&mut world, event);
            prop_assert!(kept.is_ok(), "{event:?}: {kept:?} in {world:#?}");
        }
        let home = comes_home(world);
        prop_assert!(home.is_ok(), "{home:?}");
    }
}

/// Forgets what can never matter again, so that worlds that differ in nothing else are one.
pub fn tidy(world: &mut World) {
    let zero = Duration::ZERO;
    let ended = world.secrets.iter_mut().filter(|secret| secret.state != ChallengeState::Live);
    ended.for_each(|secret| (secret.age, secret.bound) = (zero, None));
    let ended = world.sessions.iter_mut().filter(|session| session.ended);
    for s in ended {
        (s.age, s.unrotated, s.epoch, s.counter, s.with) = (zero, zero, 0, 0, None);
        s.adding.clear();
    }
    world.secrets.sort_unstable_by_key(|s| (s.state, s.address, s.purpose));
    world.secrets.dedup_by(|a, b| a == b && a.state != ChallengeState::Live);
    world.sessions.sort_unstable_by_key(|session| session.ended);
    world.sessions.dedup_by(|a, b| a == b && a.ended);
    for flow in &mut world.waiting {
        flow.asked.retain(|secret| secret.state == ChallengeState::Live);
    }
    number_anew(world);
}

/// Only the order of changes matters.
fn number_anew(world: &mut World) {
    let kept = world.accounts.iter_mut().flat_map(|account| &mut account.since).map(|(_, since)| since);
    let mut numbers: Vec<&mut u32> = kept.collect();
    for undo in &mut world.undos {
        numbers.push(&mut undo.at);
        numbers.extend(undo.before.iter_mut().map(|(_, since)| since));
    }
    let mut order: Vec<u32> = numbers.iter().map(|number| **number).collect();
    order.sort_unstable();
    order.dedup();
    let place = |number: u32| u32::try_from(order.partition_point(|other| *other < number)).unwrap() + 1;
    for number in numbers {
        *number = place(*number);
    }
    world.tick = u32::try_from(order.len()).unwrap();
}

/// Tries every sequence of events up to a length; worlds that are the same are gone on with once. Gives all that
/// has happened.
fn explore(events: fn(&World) -> Vec<Event>, length: usize) -> Vec<Happened> {
    let (mut seen, mut steps, mut kinds) = (HashSet::from([World::default()]), 0, Vec::new());
    let mut edge = vec![(World::default(), Vec::new())];
    for _ in 0..length {
        for (world, story) in std::mem::take(&mut edge) {
            for event in events(&world) {
                let (mut then, mut story): (World, Vec<Event>) = (world.clone(), story.clone());
                story.push(event);
                steps += 1;
                let happened = step(&mut then, event).unwrap_or_else(|broken| panic!("{broken}\nafter {story:#?}"));
                if !kinds.contains(&happened) {
                    kinds.push(happened);
                }
                tidy(&mut then);
                if !seen.contains(&then) {
                    comes_home(then.clone()).unwrap_or_else(|broken| panic!("{broken}\nat the end of {story:#?}"));
                    seen.insert(then.clone());
                    edge.push((then, story));
                }
            }
        }
    }
    println!("sequences of {length} events: {} worlds, {steps} steps", seen.len());
    kinds
}

/// What can be presented in a world.
fn presentations(world: &World) -> impl Iterator<Item = Event> {
    let each = move |secret| DESKS.map(|desk| Event::Present { secret, desk, unlink_others: false });
    (0..world.secrets.len()).flat_map(each)
}

/// Ada alone: support hears of her by one address or two identities, and she asks and presents in any order.
fn of_an_owner(world: &World) -> Vec<Event> {
    let push = |keys| Event::Push { keys, case: Key::Ada, spoofed: false };
    let ask = |what| Event::Ask { what, address: Key::Ada, arrives: true };
    let mut events = vec![push(PARTIES[0]), push(PARTIES[3]), ask(Ask::SignUp), ask(Ask::PasswordReset)];
    events.extend(presentations(world));
    events
}

/// Ada, Mallory, the desk and an admin.
fn of_all(world: &World) -> Vec<Event> {
    let mut events = of_an_owner(world);
    let (no, yes) = (false, true);
    events.extend([1, 5].map(|n| Event::Push { keys: PARTIES[n], case: Key::Ada, spoofed: no }));
    events.push(Event::Push { keys: PARTIES[0], case: Key::Ada, spoofed: yes });
    events.push(Event::Ask { what: Ask::PasswordReset, address: Key::Mallory, arrives: yes });
    events.extend([Person::Mallory, Person::Ada].map(|who| Event::SignIn { who, address: Key::Ada }));
    events.extend([Switch::PasswordOff, Switch::KnownOnly, Switch::BlockAda].map(Event::Flip));
    events.push(Event::Wait(limits::LINK_LIFE));
    events.extend((0..world.accounts.len()).map(Event::Bar));
    let last = world.sessions.len().checked_sub(1);
    let tokens = last.map_or(0, |last| world.sessions[last].counter + 1);
    events.extend((0..tokens).map(|counter| Event::Refresh { session: 0, counter }));
    events
}

/// 699 worlds, 5,772 steps.
#[test]
fn an_owner_comes_home_after_every_order_of_ten_events() {
    let happened = explore(of_an_owner, 10);
    for outcome in [Outcome::Create, Outcome::Claim, Outcome::ClaimPart, Outcome::Recover] {
        assert!(happened.iter().any(|kind| matches!(kind, Happened::Spent(_, o, _) if *o == outcome)), "{outcome:?}");
    }
}

/// 61,439 worlds, 268,757 steps, 3 s of a debug build.
#[test]
fn all_holds_in_every_order_of_six_events() {
    let happened = explore(of_all, 6);
    let answers =
        [Answer::SignUp, Answer::SignUpInstead, Answer::Claim, Answer::Reset, Answer::Notice, Answer::Nothing];
    for answer in answers {
        assert!(happened.contains(&Happened::Answered(answer)), "{answer:?} was never mailed");
    }
    let ends = [EndReason::Reused, EndReason::MethodOff, EndReason::AccountClosed].map(Turn::End);
    for turn in [Turn::Rotate, Turn::Repeat, Turn::Ended].into_iter().chain(ends) {
        assert!(happened.contains(&Happened::Turned(0, turn)), "{turn:?} never was");
    }
}

/// Ada and Mallory with their providers, an address that support knows, and one of Ada's own.
fn of_arrivals(world: &World) -> Vec<Event> {
    let push = |keys| Event::Push { keys, case: Key::Ada, spoofed: false };
    let mut events = vec![push(PARTIES[0]), push(PARTIES[3])];
    for subject in [Key::AdaTweets, Key::MalloryTweets, Key::AdaGoogle, Key::MalloryGoogle] {
        events.extend(may_say(subject).into_iter().map(|said| Event::Arrive { subject, said }));
    }
    events.push(Event::Ask { what: Ask::PasswordReset, address: Key::Ada, arrives: true });
    events
        .extend(presentations(world).filter(|event| matches!(event, Event::Present { desk: Desk::PasswordReset, .. })));
    for flow in 0..world.waiting.len() {
        let give = |address| Event::GiveEmail { flow, address, arrives: true };
        events.extend([give(Key::Ada), give(Key::Mallory), Event::ProveEmail { flow }]);
    }
    for session in 0..world.sessions.len() {
        events.extend(SUBJECTS.map(|subject| Event::Link { session, subject }));
        events.extend(SUBJECTS.map(|key| Event::Unlink { session, key }));
        events.extend((0..world.sessions.len()).map(|source| Event::Merge { survivor: session, source }));
    }
    events.extend([Switch::SocialOff, Switch::PasswordOff].map(Event::Flip));
    events
}

#[test]
fn all_holds_in_every_order_of_five_arrivals() {
    let happened = explore(of_arrivals, 5);
    let arrivals = [
        Arriving::SignIn,
        Arriving::OwnSubject,
        Arriving::OwnBoth,
        Arriving::LinkRequired,
        Arriving::EmailRequired,
        Arriving::Off,
    ];
    for arriving in arrivals {
        assert!(happened.iter().any(|kind| matches!(kind, Happened::Arrived(a, _) if *a == arriving)), "{arriving:?}");
    }
    for linking in [Linking::Attach, Linking::Already, Linking::Taken] {
        assert!(happened.iter().any(|kind| matches!(kind, Happened::Linked(l, _) if *l == linking)), "{linking:?}");
    }
    for outcome in [Outcome::Create, Outcome::Claim, Outcome::ClaimPart] {
        assert!(happened.iter().any(|kind| matches!(kind, Happened::Proved(o, _) if *o == outcome)), "{outcome:?}");
    }
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Unlinked(_))));
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Merged(..))));
}

/// Ada with two addresses and Mallory with one, who add, prove, remove, recover and undo.
fn of_addresses(world: &World) -> Vec<Event> {
    let ask = |what, address| Event::Ask { what, address, arrives: true };
    let mut events = vec![
        Event::Push { keys: PARTIES[6], case: Key::Ada, spoofed: false },
        ask(Ask::SignUp, Key::Ada),
        ask(Ask::SignUp, Key::Mallory),
        ask(Ask::PasswordReset, Key::AdaAtWork),
    ];
    for secret in 0..world.secrets.len() {
        events.push(Event::Present { secret, desk: Desk::SignUp, unlink_others: false });
        events.push(Event::Present { secret, desk: Desk::PasswordReset, unlink_others: true });
    }
    for session in 0..world.sessions.len() {
        for address in [Key::Ada, Key::AdaAtWork, Key::Mallory] {
            events.push(Event::AskToAdd { session, address, arrives: true });
            events.push(Event::ProveAdded { session, address });
            events.push(Event::RemoveEmail { session, key: address });
        }
    }
    for undo in 0..world.undos.len() {
        events.extend([true, false].map(|unlink_others| Event::Undo { undo, unlink_others }));
    }
    events
}

#[test]
fn ph_09_all_holds_in_every_order_of_eight_changes_of_address() {
    let happened = explore(of_addresses, 8);
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Linked(Linking::Attach, _))));
    let taken = happened.iter().any(|kind| matches!(kind, Happened::Linked(Linking::Taken, _)));
    assert!(!taken, "whoever proves an address ends what others wait for at it");
    for answer in [Answer::AddEmail, Answer::AddEmailNotice] {
        assert!(happened.contains(&Happened::Answered(answer)), "{answer:?} was never mailed");
    }
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Removed(_))));
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Undone(_))));
    assert!(happened.iter().any(|kind| matches!(kind, Happened::Spent(_, Outcome::Recover, _))));
}
