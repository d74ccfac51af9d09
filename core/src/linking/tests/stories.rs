//! Every order of events, made in two ways: at random, and all of them up to a length.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Answer, Arriving, Ask, Desk, Linking, Outcome};
use super::invariants::{
    Checked, arrived, holds, invariants, is_kept, linked, merged, only_asked, only_observed, owned_by_proof, proved,
    turned, unlinked,
};
use super::model::{Happened, Key, Person, Said, Switch, World};
use crate::account::AccountState;
use crate::challenge::ChallengeState;
use crate::limits;
use crate::session::{EndReason, Turn};

/// Indices count back from the latest, round and round, so that every number names something.
#[derive(Debug, Clone, Copy)]
enum Event {
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
    Flip(Switch),
    /// An admin disables an account, or enables it again.
    Bar(usize),
    Wait(Duration),
}

fn happen(world: &mut World, event: Event) -> Happened {
    let back = |n: usize, length: usize| length.checked_sub(1).map(|last| last - n % length);
    let named = match event {
        Event::Present { secret: n, .. } => back(n, world.secrets.len()),
        Event::Refresh { session: n, .. } | Event::Link { session: n, .. } | Event::Unlink { session: n, .. } => {
            back(n, world.sessions.len())
        }
        Event::Merge { survivor: n, .. } => back(n, world.sessions.len()),
        Event::GiveEmail { flow: n, .. } | Event::ProveEmail { flow: n } => back(n, world.waiting.len()),
        Event::Bar(n) => back(n, world.accounts.len()),
        _ => Some(0),
    };
    match (event, named) {
        (_, None) => return Happened::Nothing,
        (Event::Push { keys, case, spoofed }, _) => return world.push(keys, case, spoofed),
        (Event::Ask { what, address, arrives }, _) => return world.ask(what, address, arrives),
        (Event::Present { desk, .. }, Some(secret)) => return world.present(secret, desk),
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
        (Event::Flip(switch), _) => world.flip(switch),
        (Event::Bar(_), Some(account)) => world.bar(account),
        (Event::Wait(time), _) => world.wait(time),
    }
    Happened::Nothing
}

/// One step: it does no more than it may, and all invariants hold after it.
fn step(world: &mut World, event: Event) -> Checked<Happened> {
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
        (_, Happened::Nothing) => {
            let may_change = matches!(event, Event::Flip(_) | Event::Bar(_) | Event::Wait(_));
            holds!(may_change || *world == before, "{event:?} was refused and changed something all the same");
        }
        (_, other) => return Err(format!("{event:?} cannot lead to {other:?}")),
    }
    invariants(world).map(|()| happened)
}

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
    step(&mut world, Event::Present { secret: 0, desk: Desk::PasswordReset })?;
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

const PARTIES: &[&[Key]] = &[
    &[Key::Ada],
    &[Key::Mallory],
    &[Key::AdaTweets],
    &[Key::AdaTweets, Key::Ada],
    &[Key::Ada, Key::AdaTweets],
    &[Key::Mallory, Key::Ada],
    &[Key::AdaAtWork, Key::Ada],
    &[Key::AdaTweets, Key::Mallory, Key::Ada],
];
const WAITS: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(31), limits::LINK_LIFE, Duration::from_secs(13 * 86_400)];
const SWITCHES: [Switch; 6] = [
    Switch::PasswordOff,
    Switch::KnownOnly,
    Switch::BlockAda,
    Switch::HoldUnknown,
    Switch::SocialOff,
    Switch::GoogleProvesNothing,
];
const SUBJECTS: [Key; 4] = [Key::AdaTweets, Key::MalloryTweets, Key::AdaGoogle, Key::MalloryGoogle];

/// What a provider may say of a subject's address: its owner's where it counts, and anything as a hint.
fn may_say(subject: Key) -> Vec<Said> {
    let mut said = vec![Said::Nothing, Said::Hint(Key::Ada)];
    match subject {
        Key::AdaGoogle => said.extend([Said::Proven(Key::Ada), Said::Proven(Key::AdaAtWork)]),
        Key::MalloryGoogle => said.push(Said::Proven(Key::Mallory)),
        // X never proves one, whatever it is made to say
        _ => said.push(Said::Proven(Key::Ada)),
    }
    said
}
const DESKS: [Desk; 2] = [Desk::SignUp, Desk::PasswordReset];

fn any_event() -> impl Strategy<Value = Event> {
    let key = || select(vec![Key::Ada, Key::Ada, Key::AdaAtWork, Key::Mallory, Key::AdaTweets]);
    let address = || select(vec![Key::Ada, Key::Ada, Key::AdaAtWork, Key::Mallory]);
    let who = select(vec![Person::Ada, Person::Mallory]);
    let what = select(vec![Ask::SignUp, Ask::PasswordReset]);
    prop_oneof![
        4 => (select(PARTIES), key(), prop::bool::weighted(0.2))
            .prop_map(|(keys, case, spoofed)| Event::Push { keys, case, spoofed }),
        5 => (what, address(), prop::bool::weighted(0.9))
            .prop_map(|(what, address, arrives)| Event::Ask { what, address, arrives }),
        6 => (0..6_usize, select(&DESKS[..])).prop_map(|(secret, desk)| Event::Present { secret, desk }),
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
        1 => select(&SWITCHES[..]).prop_map(Event::Flip),
        1 => (0..4_usize).prop_map(Event::Bar),
        1 => select(&WAITS[..]).prop_map(Event::Wait),
    ]
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
fn tidy(world: &mut World) {
    let zero = Duration::ZERO;
    let ended = world.secrets.iter_mut().filter(|secret| secret.state != ChallengeState::Live);
    ended.for_each(|secret| (secret.age, secret.bound) = (zero, None));
    let ended = world.sessions.iter_mut().filter(|session| session.ended);
    ended.for_each(|s| (s.age, s.unrotated, s.epoch, s.counter, s.with) = (zero, zero, 0, 0, None));
    world.secrets.sort_unstable_by_key(|s| (s.state, s.address, s.purpose));
    world.secrets.dedup_by(|a, b| a == b && a.state != ChallengeState::Live);
    world.sessions.sort_unstable_by_key(|session| session.ended);
    world.sessions.dedup_by(|a, b| a == b && a.ended);
    for flow in &mut world.waiting {
        flow.asked.retain(|secret| secret.state == ChallengeState::Live);
    }
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
    let each = move |secret| DESKS.map(|desk| Event::Present { secret, desk });
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
