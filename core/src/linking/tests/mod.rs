//! The whole of each rule's input, row by row as `rules.md` has it; every input is in exactly one row. The orders of
//! events are in `stories`, over the `model`.

use super::*;

mod email_model;
mod events;
mod invariants;
mod model;
mod people;
mod rows;
mod session_model;
mod social;
mod social_model;
mod stories;
mod theft;

use Holder::{Claimed, Closed, Nobody, Unclaimed};

const ASKS: [Ask; 4] = [Ask::SignUp, Ask::PasswordReset, Ask::SocialEmail, Ask::AddEmail];
/// What makes an account where there is none.
const MAKERS: [Ask; 3] = [Ask::SignUp, Ask::PasswordReset, Ask::SocialEmail];
const ALONE: Holder = Unclaimed { alone: true };
const OF_SEVERAL: Holder = Unclaimed { alone: false };
const HOLDERS: [Holder; 5] = [Nobody, ALONE, OF_SEVERAL, Claimed, Closed];
const EITHER: [bool; 2] = [true, false];

fn houses() -> Vec<House> {
    let mut houses = Vec::new();
    for road_on in EITHER {
        for sign_up in SignUpPolicy::ALL {
            houses.extend(EITHER.map(|admits| House { road_on, sign_up: *sign_up, admits }));
        }
    }
    houses
}

/// What a row says of the settings; what it leaves out does not matter.
#[derive(Debug, Clone, Copy)]
enum When {
    PasswordOff,
    PasswordOn,
    Admitted,
    NotAdmitted,
    AdmittedAndOpen,
    AdmittedAndKnownOnly,
}

impl When {
    fn holds(self, house: House) -> bool {
        let (on, open) = (house.road_on, house.sign_up == SignUpPolicy::Open);
        match self {
            Self::PasswordOff => !on,
            Self::PasswordOn => on,
            Self::Admitted => on && house.admits,
            Self::NotAdmitted => on && !house.admits,
            Self::AdmittedAndOpen => on && house.admits && open,
            Self::AdmittedAndKnownOnly => on && house.admits && !open,
        }
    }
}

type AskRow = (&'static str, &'static [Ask], &'static [Holder], When, Answer);

const ASK_ROWS: &[AskRow] = &[
    ("RS-21, rule 14: a road that is off is off at its start", &ASKS, &HOLDERS, When::PasswordOff, Answer::Nothing),
    ("RS-19, rule 8: disabled gets the same answer, nothing done", &ASKS, &[Closed], When::PasswordOn, Answer::Nothing),
    ("EN-04, rule 3: claimed: a notice without a secret", &[Ask::SignUp], &[Claimed], When::PasswordOn, Answer::Notice),
    ("rule 8: recovery", &[Ask::PasswordReset], &[Claimed], When::PasswordOn, Answer::Reset),
    (
        "PH-17, rule 8: the address of an owner gets no code: sign in and link",
        &[Ask::SocialEmail],
        &[Claimed],
        When::PasswordOn,
        Answer::LinkNotice,
    ),
    (
        "PH-11, rule 3: unclaimed: a secret to the stored address; support knows the person, so `known_only` lets them",
        &[Ask::SignUp],
        &[ALONE, OF_SEVERAL],
        When::Admitted,
        Answer::SignUp,
    ),
    ("rule 3: the same by forgot password", &[Ask::PasswordReset], &[ALONE, OF_SEVERAL], When::Admitted, Answer::Claim),
    (
        "rule 8: the address that a provider did not give, of whom support knows",
        &[Ask::SocialEmail],
        &[ALONE, OF_SEVERAL],
        When::Admitted,
        Answer::SocialEmail,
    ),
    ("rule 8: of nobody", &[Ask::SocialEmail], &[Nobody], When::AdmittedAndOpen, Answer::SocialEmail),
    ("a blocked domain claims nothing", &ASKS, &[ALONE, OF_SEVERAL], When::NotAdmitted, Answer::Nothing),
    ("rule 3: nobody's, open", &[Ask::SignUp], &[Nobody], When::AdmittedAndOpen, Answer::SignUp),
    (
        "rule 3: forgot password for nobody's address mails a sign-up secret where sign-up is open",
        &[Ask::PasswordReset],
        &[Nobody],
        When::AdmittedAndOpen,
        Answer::SignUpInstead,
    ),
    ("sign-up for known people only", &MAKERS, &[Nobody], When::AdmittedAndKnownOnly, Answer::Nothing),
    (
        "EM-11, rule 12: to add an owner's address says nothing, and the owner is told",
        &[Ask::AddEmail],
        &[Claimed],
        When::PasswordOn,
        Answer::AddEmailNotice,
    ),
    (
        "rule 13: whoever adds an address has an account already",
        &[Ask::AddEmail],
        &[Nobody, ALONE, OF_SEVERAL],
        When::Admitted,
        Answer::AddEmail,
    ),
    ("a blocked domain makes nothing", &ASKS, &[Nobody], When::NotAdmitted, Answer::Nothing),
];

#[test]
fn what_is_mailed_follows_rule_3() {
    for ask in ASKS {
        for (holder, house) in pairs() {
            let row = |row: &&AskRow| row.1.contains(&ask) && row.2.contains(&holder) && row.3.holds(house);
            let rows: Vec<&AskRow> = ASK_ROWS.iter().filter(row).collect();
            assert_eq!(rows.len(), 1, "{ask:?} {holder:?} {house:?} is in {rows:?}");
            assert_eq!(answer_to(ask, holder, house), rows[0].4, "{}: {ask:?} {holder:?} {house:?}", rows[0].0);
        }
    }
}

type SpendRow = (&'static str, &'static [Holder], When, Outcome);

const SPEND_ROWS: &[SpendRow] = &[
    (
        "RS-21, rule 14: a road that was turned off ends at its last step too",
        &HOLDERS,
        When::PasswordOff,
        Outcome::Refuse,
    ),
    ("RS-19, rule 8: never re-enables", &[Closed], When::PasswordOn, Outcome::Refuse),
    ("rule 8: claimed: a new password, whatever its domain", &[Claimed], When::PasswordOn, Outcome::Recover),
    ("rule 8: unclaimed: claim", &[ALONE], When::Admitted, Outcome::Claim),
    (
        "PH-19, RC-07, rule 10: one of several: it and its history alone",
        &[OF_SEVERAL],
        When::Admitted,
        Outcome::ClaimPart,
    ),
    ("a domain that was blocked meanwhile", &[ALONE, OF_SEVERAL, Nobody], When::NotAdmitted, Outcome::Refuse),
    ("rule 8: no account: create", &[Nobody], When::AdmittedAndOpen, Outcome::Create),
    ("RS-20: sign-up was closed meanwhile", &[Nobody], When::AdmittedAndKnownOnly, Outcome::Refuse),
];

#[test]
fn what_a_secret_does_follows_rule_8() {
    for (holder, house) in pairs() {
        let rows: Vec<&SpendRow> =
            SPEND_ROWS.iter().filter(|row| row.1.contains(&holder) && row.2.holds(house)).collect();
        assert_eq!(rows.len(), 1, "{holder:?} {house:?} is in {rows:?}");
        assert_eq!(spend(holder, house), rows[0].3, "{}: {holder:?} {house:?}", rows[0].0);
    }
}

fn pairs() -> Vec<(Holder, House)> {
    HOLDERS.iter().flat_map(|holder| houses().into_iter().map(|house| (*holder, house))).collect()
}

type SenderRow = (&'static str, fn(Sender) -> bool, (Author, Shown));

const SENDER_ROWS: &[SenderRow] = &[
    (
        "PH-23, PH-24, rule 11: a stranger's reply (copied in or not) keeps the requester and stays hidden",
        |s| !s.is_requester && !s.is_owner,
        (Author::Stranger, Shown::Held),
    ),
    (
        "PH-22, rule 11: `From:` is a claim: what DMARC fails is held, and takes the case from nobody",
        |s| (s.is_requester || s.is_owner) && s.spoofed,
        (Author::Requester, Shown::Held),
    ),
    (
        "requests from people we don't know, held for review",
        |s| (s.is_requester || s.is_owner) && !s.spoofed && s.unknown_and_held,
        (Author::Requester, Shown::Held),
    ),
    (
        "the requester, or its owner by another identity they have proven",
        |s| (s.is_requester || s.is_owner) && !s.spoofed && !s.unknown_and_held,
        (Author::Requester, Shown::Yes),
    ),
];

fn senders() -> Vec<Sender> {
    let bit = |n: u8, place: u8| n >> place & 1 == 1;
    let sender =
        |n| Sender { is_requester: bit(n, 0), is_owner: bit(n, 1), spoofed: bit(n, 2), unknown_and_held: bit(n, 3) };
    (0..16).map(sender).collect()
}

#[test]
fn who_is_shown_follows_rule_11() {
    for sender in senders() {
        let rows: Vec<&SenderRow> = SENDER_ROWS.iter().filter(|row| row.1(sender)).collect();
        assert_eq!(rows.len(), 1, "{sender:?}");
        assert_eq!(reception(sender), rows[0].2, "{}: {sender:?}", rows[0].0);
    }
}

#[test]
fn a_state_is_held_as_what_a_stranger_may_do_with_it() {
    for identities in 1..4 {
        let of = |state| Holder::of(state, identities);
        assert_eq!(of(AccountState::Unclaimed), if identities < 2 { ALONE } else { OF_SEVERAL }, "{identities}");
        assert_eq!(of(AccountState::Claimed), Claimed);
        for closed in [AccountState::Disabled, AccountState::Merged, AccountState::Deleted] {
            assert_eq!(of(closed), Closed, "RS-19: {closed}");
        }
    }
}

#[test]
fn a_secret_that_is_mailed_can_be_spent_unless_something_changes() {
    for (holder, house) in pairs() {
        for ask in MAKERS {
            let (answer, outcome) = (answer_to(ask, holder, house), spend(holder, house));
            let context = format!("{ask:?} {holder:?} {house:?}: {answer:?}, {outcome:?}");
            assert!(!answer.carries_a_secret() || outcome != Outcome::Refuse, "{context}");
            assert_eq!(answer == Answer::Reset, ask == Ask::PasswordReset && outcome == Outcome::Recover, "{context}");
            assert!(
                ask != Ask::PasswordReset || answer.carries_a_secret() == (outcome != Outcome::Refuse),
                "{context}"
            );
        }
    }
}

#[test]
fn ph_01_ph_17_whoever_signs_up_or_arrives_gets_nothing_from_an_account_that_has_an_owner() {
    for house in houses() {
        for holder in [Claimed, Closed] {
            for ask in [Ask::SignUp, Ask::SocialEmail, Ask::AddEmail] {
                assert!(!answer_to(ask, holder, house).carries_a_secret(), "{ask:?} {holder:?} {house:?}");
            }
        }
    }
}

#[test]
fn rs_19_a_closed_account_yields_nothing_to_anybody() {
    for house in houses() {
        assert!(ASKS.iter().all(|ask| answer_to(*ask, Closed, house) == Answer::Nothing), "{house:?}");
        assert_eq!(spend(Closed, house), Outcome::Refuse, "{house:?}");
    }
}

#[test]
fn a_secret_is_good_only_for_whom_it_was_made() {
    const ADA: Option<(&str, i64)> = Some(("ada", 1));
    let purposes = ChallengePurpose::ALL.iter().copied();
    for (purpose, (holder, house)) in purposes.flat_map(|purpose| pairs().into_iter().map(move |pair| (purpose, pair)))
    {
        let redeem = |then, now| redeem(Made { purpose, held_by: then }, now, holder, house);
        for (then, now) in [(ADA, Some(("ada", 2))), (ADA, Some(("bob", 1))), (ADA, None)] {
            assert_eq!(redeem(then, now), Outcome::Refuse, "{purpose:?} {holder:?} {then:?} {now:?}");
        }
        let met_since = redeem(None, ADA);
        let unclaimed = matches!(holder, Unclaimed { .. });
        assert_eq!(met_since, if unclaimed { spend(holder, house) } else { Outcome::Refuse }, "{purpose:?} {holder:?}");
        let signs_in = matches!(purpose, ChallengePurpose::SignUp | ChallengePurpose::SocialEmail);
        let signs_in_to_anothers = signs_in && spend(holder, house) == Outcome::Recover;
        let as_it_was = if signs_in_to_anothers { Outcome::Refuse } else { spend(holder, house) };
        assert_eq!(redeem(ADA, ADA), as_it_was, "{purpose:?} {holder:?} {house:?}");
    }
}

/// An admin who turns something off never opens another road by it.
#[test]
fn ad_01_a_stricter_house_does_the_same_or_nothing() {
    let no_looser = |a: House, b: House| {
        let open = |house: House| house.sign_up == SignUpPolicy::Open;
        a.road_on <= b.road_on && open(a) <= open(b) && a.admits <= b.admits
    };
    for (holder, loose) in pairs() {
        for strict in houses().into_iter().filter(|strict| no_looser(*strict, loose)) {
            let outcome = spend(holder, strict);
            assert!(outcome == Outcome::Refuse || outcome == spend(holder, loose), "{holder:?} {strict:?} {loose:?}");
            for ask in ASKS {
                let answer = answer_to(ask, holder, strict);
                assert!(
                    answer == Answer::Nothing || answer == answer_to(ask, holder, loose),
                    "{ask:?} {holder:?} {strict:?}"
                );
            }
        }
    }
}

#[test]
fn ph_22_no_message_is_shown_because_of_a_doubt() {
    for sender in senders() {
        let trusted = Sender { spoofed: false, unknown_and_held: false, ..sender };
        assert_eq!(reception(sender).0, reception(trusted).0, "a doubt changes whose it is: {sender:?}");
        assert!(reception(sender).1 == Shown::Held || reception(trusted).1 == Shown::Yes, "{sender:?}");
    }
}
