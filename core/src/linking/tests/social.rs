//! The whole of rules 7, 8, 12 and 15 for providers: every input is in exactly one row.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::email::EmailAddress;
use crate::identity::IdentityKind;
use crate::provider::ProviderEmail;

type ArriveRow = (&'static str, &'static [Holder], &'static [Option<Holder>], When, Arriving);

const NO_EMAIL: Option<Holder> = None;
const EMAILS: [Option<Holder>; 6] =
    [NO_EMAIL, Some(Nobody), Some(ALONE), Some(OF_SEVERAL), Some(Claimed), Some(Closed)];
const ANY_UNCLAIMED: &[Holder] = &[ALONE, OF_SEVERAL];

/// `When::PasswordOff` is the road's: here the provider's.
const ARRIVE_ROWS: &[ArriveRow] = &[
    ("AD-01, rule 14: a provider that is off", &HOLDERS, &EMAILS, When::PasswordOff, Arriving::Off),
    ("rule 8: a subject we hold, claimed", &[Claimed], &EMAILS, When::PasswordOn, Arriving::SignIn),
    ("rule 8: a subject we hold, unclaimed", ANY_UNCLAIMED, &EMAILS, When::PasswordOn, Arriving::OwnSubject),
    ("OA-19: a closed account never falls back to the address", &[Closed], &EMAILS, When::PasswordOn, Arriving::Closed),
    (
        "PH-01, rule 8: a new subject whose address is an owner's, disabled or not",
        &[Nobody],
        &[Some(Claimed), Some(Closed)],
        When::PasswordOn,
        Arriving::LinkRequired,
    ),
    (
        "rule 8: its address counts, and support keeps an account of it",
        &[Nobody],
        &[Some(ALONE), Some(OF_SEVERAL)],
        When::Admitted,
        Arriving::OwnBoth,
    ),
    (
        "rule 8: its address counts, and is nobody's",
        &[Nobody],
        &[Some(Nobody)],
        When::AdmittedAndOpen,
        Arriving::OwnBoth,
    ),
    (
        "nobody's address where only known people may have an account: they may give the one support knows",
        &[Nobody],
        &[Some(Nobody)],
        When::AdmittedAndKnownOnly,
        Arriving::EmailRequired,
    ),
    (
        "an address whose domain is not admitted makes and claims nothing: they may give another",
        &[Nobody],
        &[Some(Nobody), Some(ALONE), Some(OF_SEVERAL)],
        When::NotAdmitted,
        Arriving::EmailRequired,
    ),
    ("PH-07, rule 8: no address that counts", &[Nobody], &[NO_EMAIL], When::PasswordOn, Arriving::EmailRequired),
];

#[test]
fn who_arrives_follows_rule_8() {
    for (subject, house) in pairs() {
        for email in EMAILS {
            let row = |row: &&ArriveRow| row.1.contains(&subject) && row.2.contains(&email) && row.3.holds(house);
            let rows: Vec<&ArriveRow> = ARRIVE_ROWS.iter().filter(row).collect();
            assert_eq!(rows.len(), 1, "{subject:?} {email:?} {house:?} is in {rows:?}");
            assert_eq!(arrive(subject, email, house), rows[0].4, "{}: {subject:?} {email:?} {house:?}", rows[0].0);
        }
    }
}

/// Signing in is for the subject's own account alone, whatever address comes with it.
#[test]
fn nobody_gets_into_an_account_by_an_address_that_a_provider_gives() {
    for (subject, house) in pairs() {
        for email in EMAILS {
            let outcome = arrive(subject, email, house);
            assert_eq!(outcome == Arriving::SignIn, subject == Claimed && house.road_on, "{subject:?} {email:?}");
            let touches_an_owner = matches!(email, Some(Claimed | Closed)) && outcome == Arriving::OwnBoth;
            assert!(!touches_an_owner, "{subject:?} {email:?} {house:?}");
        }
    }
}

#[test]
fn disabled_looks_like_claimed_to_whoever_arrives_with_its_address() {
    for house in houses() {
        assert_eq!(arrive(Nobody, Some(Closed), house), arrive(Nobody, Some(Claimed), house), "{house:?}");
        let answers = [Claimed, Closed].map(|holder| answer_to(Ask::SocialEmail, holder, house).carries_a_secret());
        assert_eq!(answers, [false, false], "{house:?}");
    }
}

#[test]
fn oa_21_ph_07_an_address_counts_only_as_rule_7_says() {
    let email = |address: &str, verified: bool, domain: Option<&str>| {
        ProviderEmail::read(&json!(address), &json!(verified), &json!(domain)).unwrap()
    };
    let rows = [
        ("gmail is Google's own", email("ada@gmail.com", true, None), true),
        ("a Workspace domain is vouched for", email("ada@example.org", true, Some("example.org")), true),
        ("in any case", email("Ada@Example.ORG", true, Some("EXAMPLE.org")), true),
        ("not verified", email("ada@gmail.com", false, None), false),
        ("not verified, of a Workspace", email("ada@example.org", false, Some("example.org")), false),
        ("OA-21: another's domain", email("ada@example.org", true, None), false),
        ("OA-21: another's domain, from a Workspace", email("ada@example.org", true, Some("evil.example")), false),
        ("a part of the domain", email("ada@mail.example.org", true, Some("example.org")), false),
        ("googlemail is not gmail", email("ada@googlemail.com", true, None), false),
        ("gmail with a domain that is not its own", email("ada@gmail.com.evil.example", true, None), false),
    ];
    for (why, email, expected) in rows {
        assert_eq!(counts(IdentityKind::Google, true, Some(&email)).is_some(), expected, "{why}");
        assert_eq!(counts(IdentityKind::Google, false, Some(&email)), None, "{why}, but nobody trusts Google");
        for kind in IdentityKind::ALL.iter().filter(|kind| **kind != IdentityKind::Google) {
            assert_eq!(counts(*kind, true, Some(&email)), None, "{why}, but of {kind}");
        }
    }
    assert_eq!(counts(IdentityKind::Google, true, None), None);
    let ada = EmailAddress::parse("ada@gmail.com").unwrap();
    assert_eq!(counts(IdentityKind::Google, true, Some(&email("ADA@gmail.com", true, None))), Some(&ada));
}

#[test]
fn a_code_is_good_only_while_the_subject_is_nobodys() {
    const ADA: Option<(&str, i64)> = Some(("ada", 1));
    let made = |held_by| Made { purpose: ChallengePurpose::SocialEmail, held_by };
    for (address, house) in pairs() {
        for subject in HOLDERS {
            for held in [None, ADA] {
                let outcome = redeem_with_subject(made(held), held, address, subject, house);
                let context = format!("{address:?} {subject:?} {house:?}");
                let owned = matches!(subject, Claimed | Closed) || matches!(address, Claimed | Closed);
                assert!(!owned || outcome == Outcome::Refuse, "{context}: {outcome:?}");
                assert!(owned || outcome == redeem(made(held), held, address, house), "{context}: {outcome:?}");
                assert_ne!(outcome, Outcome::Recover, "{context}");
            }
        }
    }
}

#[test]
fn what_is_proven_together_goes_to_an_account_that_is_proven_in_whole() {
    type Row = (&'static str, &'static [Option<(u8, bool)>], Option<u8>);
    let rows: [Row; 7] = [
        ("nobody's: a new one", &[None, None], None),
        ("rule 10: the whole account", &[Some((1, true))], Some(1)),
        ("PH-19, rule 10: a part: a new one", &[Some((1, false))], None),
        ("the address's account comes first", &[Some((1, true)), Some((2, true))], Some(1)),
        ("both of one account", &[Some((1, true)), Some((1, true))], Some(1)),
        ("a part of one, the whole of another", &[Some((1, false)), Some((2, true))], Some(2)),
        ("parts of two", &[Some((1, false)), Some((2, false))], None),
    ];
    for (why, proven, expected) in rows {
        assert_eq!(home(proven), expected, "{why}");
    }
}

#[test]
fn oa_30_what_is_linked_follows_rule_12() {
    for same in EITHER {
        assert_eq!(link(Nobody, same), Linking::Attach);
        assert_eq!(link(ALONE, same), Linking::Attach);
        assert_eq!(link(OF_SEVERAL, same), Linking::Attach);
        assert_eq!(link(Closed, same), Linking::Taken);
    }
    assert_eq!(link(Claimed, true), Linking::Already);
    assert_eq!(link(Claimed, false), Linking::Taken, "OA-30");
}

#[test]
fn only_the_owner_who_is_there_now_makes_a_session_fresh() {
    let agos = [None, Some(0), Some(60), Some(629), Some(630), Some(86_400)].map(|ago| ago.map(Duration::from_secs));
    for ago in agos {
        for holder in HOLDERS {
            for (same, settled) in EITHER.into_iter().flat_map(|same| EITHER.map(|settled| (same, settled))) {
                let expected = match (holder, same && settled, ago.map(|ago| ago.as_secs())) {
                    (Claimed, true, None | Some(0..=629)) => Presence::Shown,
                    (Claimed, true, Some(_)) => Presence::LongAgo,
                    _ => Presence::NotTheOwner,
                };
                assert_eq!(presence(holder, same, settled, ago), expected, "{holder:?} {same} {settled} {ago:?}");
            }
        }
    }
}

#[test]
fn what_came_lately_to_an_account_that_was_there_shows_nobody() {
    // since when it has been the account's, since when the oldest has, and what is long ago
    for (since, oldest, long_ago, settled) in [(5, 5, 1, true), (5, 1, 4, false), (5, 1, 5, true), (5, 1, 9, true)] {
        assert_eq!(is_settled(&since, &oldest, &long_ago), settled, "{since} {oldest} {long_ago}");
    }
}

#[test]
fn se_16_the_last_way_in_stays() {
    assert_eq!(unlink(0), Removal::LastWayIn);
    assert_eq!(unlink(1), Removal::Remove);
    assert_eq!(unlink(7), Removal::Remove);
}

#[test]
fn of_two_who_drop_each_other_the_older_one_has_the_last_word() {
    assert!(may_undo(&1, &2));
    assert!(!may_undo(&2, &1));
    assert!(may_undo(&2, &2), "of two who came at once nobody can know whose it is");
}

#[test]
fn ph_26_accounts_become_one_only_by_a_fresh_session_of_each() {
    let mut merged = 0;
    for bits in 0..128_u16 {
        let bit = |place: u16| bits >> place & 1 == 1;
        let survivor = Party { claimed: bit(0), fresh: bit(1), admin: bit(2) };
        let source = Party { claimed: bit(3), fresh: bit(4), admin: bit(5) };
        let outcome = may_merge(bit(6), survivor, source);
        let allowed = !bit(6) && bit(0) && bit(1) && bit(3) && bit(4) && !bit(5);
        assert_eq!(outcome == Merging::Merge, allowed, "{survivor:?} {source:?} same: {}", bit(6));
        merged += u8::from(outcome == Merging::Merge);
    }
    assert_eq!(merged, 2, "whether the survivor is an admin's does not matter");
}
