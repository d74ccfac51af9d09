//! What a deletion reaches, and what it must leave alone.

use doorstep_tests::http::Answer;
use doorstep_tests::social::{Social, proven, signed_in};
use doorstep_tests::{SignedIn, on_both_with_providers};
use serde_json::json;

use crate::goodbye::{asks, confirms, leaves};
use crate::linking::merges;
use crate::talk::{opens, starts};

const ADA: &str = "ada@example.org";

on_both_with_providers! {
    fn a_merge_calls_off_a_deletion_that_was_asked_for_before_it(social) {
        social.claims(ADA);
        let ada = social.signs_in(ADA);
        let other = signed_in(social.arrives_by_google("g-1", &proven("lovelace@gmail.com")));
        let started = starts(social, &other, "From my profile", "hello");
        asks(social, &ada).expect(202);
        let mail = social.secret_mailed_to(ADA);
        merges(social, &ada, &other, true).expect(200);
        merges(social, &ada, &other, false).expect(200);
        for shown in [json!({ "token": mail.token }), json!({ "code": mail.code })] {
            let refused: Answer = confirms(social, &ada, &shown).expect(404);
            assert_eq!(refused.code(), "secret_not_found", "nobody has said that what came in is to go too");
        }
        assert_eq!(opens(social, &ada, &started["id"]), 200);
        leaves(social, &ada, ADA);
    }

    fn what_the_owner_adds_between_does_not_call_it_off_and_goes_as_well(social) {
        social.claims(ADA);
        let ada: SignedIn = social.signs_in(ADA);
        asks(social, &ada).expect(202);
        let mail = social.secret_mailed_to(ADA);
        social.links_twitter(&ada, "ada", "12").expect(200);
        social.adds(&ada, "ada@work.example");
        confirms(social, &ada, &json!({ "token": mail.token })).expect(204);
        assert_eq!(rows(social, "identities"), 0);
    }
}

fn rows(social: &Social, of: &str) -> i64 {
    social.count(&format!("SELECT count(*) AS n FROM {of}"))
}
