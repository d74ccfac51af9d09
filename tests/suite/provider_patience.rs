//! Providers that break or ask for patience: they are left alone, and nobody else waits (FT-16).

use std::time::Duration;

use doorstep_tests::on_both_with_providers;
use doorstep_tests::providers::twitter;
use doorstep_tests::social::{continuation, proven, signed_in};
use doorstep_tests::standin::Behaviour;
use serde_json::json;

use crate::natively::nothing_is_written;
use crate::provider_faults::{LONG, all_work, answers, fails, places};

on_both_with_providers! {
    fn ft_16_a_provider_that_breaks_or_asks_for_patience(social) {
        for status in [500, 502, 503, 504] {
            for place in places() {
                social.advance(LONG);
                fails(social, place, &answers(status, "application/json", "{}"), 502, "provider_failed");
            }
            all_work(social);
        }
        for (behaviour, seconds) in [
            (Behaviour::busy(429, 7), "7"),
            (Behaviour::busy(503, 86_400), "60"),
            (answers(429, "text/plain", ""), "10"),
        ] {
            for place in places() {
                social.advance(LONG);
                let answer = fails(social, place, &behaviour, 503, "provider_busy");
                assert_eq!(answer.header("retry-after"), Some(seconds), "{place:?}: {behaviour:?}");
            }
            all_work(social);
        }
    }

    fn ft_16_after_five_failures_a_provider_is_left_alone_for_ten_seconds(social) {
        let ada = social.signs_up("ada@example.org");
        social.twitter.script(twitter::TOKEN, answers(500, "text/plain", "no"));
        for _ in 0..5 {
            assert_eq!(social.arrives_by_twitter("ada", "12").expect(502).code(), "provider_failed");
        }
        for _ in 0..3 {
            let answer = social.arrives_by_twitter("ada", "12").expect(503);
            assert_eq!(answer.code(), "provider_busy");
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=10).contains(&seconds), "{seconds}");
        }
        assert_eq!(social.twitter.calls(twitter::TOKEN).len(), 5, "nobody waits for it in vain");
        // all others go on
        signed_in(social.arrives_by_google("g-1", &proven("bob@gmail.com")));
        continuation(social.arrives_by_facebook("ada", "4711", None));
        continuation(social.arrives_by_acme("a-1", &json!({})));
        social.me(&ada.access_token).expect(200);
        social.signs_in("ada@example.org");

        social.twitter.script(twitter::TOKEN, Behaviour::AsDocumented);
        social.arrives_by_twitter("ada", "12").expect(503);
        social.advance(Duration::from_secs(11));
        continuation(social.arrives_by_twitter("ada", "12"));
        // it broke again: one tries, and the rest has begun anew
        social.twitter.script(twitter::TOKEN, answers(500, "text/plain", "no"));
        for _ in 0..4 {
            social.arrives_by_twitter("ada", "12").expect(502);
        }
        social.twitter.script(twitter::TOKEN, Behaviour::AsDocumented);
        continuation(social.arrives_by_twitter("ada", "12"));
    }

    fn ft_16_who_asks_for_patience_gets_it_and_nobody_else_waits(social) {
        social.twitter.script(twitter::TOKEN, Behaviour::busy(503, 7));
        assert_eq!(social.arrives_by_twitter("ada", "12").expect(503).header("retry-after"), Some("7"));
        social.twitter.script(twitter::TOKEN, Behaviour::AsDocumented);
        assert_eq!(social.arrives_by_twitter("ada", "12").expect(503).code(), "provider_busy");
        assert_eq!(social.twitter.calls(twitter::TOKEN).len(), 1);
        continuation(social.arrives_by_google("g-1", &json!({})));
        social.advance(Duration::from_secs(8));
        continuation(social.arrives_by_twitter("ada", "12"));
        // one person's own token is worn out: that keeps nobody else away
        social.twitter.script(twitter::ME, Behaviour::busy(429, 60));
        for _ in 0..6 {
            assert_eq!(social.arrives_by_twitter("eve", "66").expect(503).header("retry-after"), Some("60"));
        }
        social.twitter.script(twitter::ME, Behaviour::AsDocumented);
        continuation(social.arrives_by_twitter("ada", "12"));
        nothing_is_written(social);
    }

    fn ft_16_what_one_person_does_wrong_leaves_a_provider_in_peace(social) {
        let refusals = [
            (400, r#"{"error":"invalid_grant"}"#), (400, r#"{"error":"invalid_request","error_description":"no"}"#), (403, r#"{"error":"access_denied"}"#),
        ];
        for (status, body) in refusals.into_iter().cycle().take(12) {
            social.twitter.script(twitter::TOKEN, answers(status, "application/json", body));
            assert_eq!(social.arrives_by_twitter("eve", "66").expect(401).code(), "provider_refused", "{body}");
        }
        // but that our secret is wrong is nobody's fault who signs in
        social.twitter.script(twitter::TOKEN, answers(401, "application/json", r#"{"error":"invalid_client"}"#));
        assert_eq!(social.arrives_by_twitter("ada", "12").expect(502).code(), "provider_failed");
        social.twitter.script(twitter::TOKEN, Behaviour::AsDocumented);
        continuation(social.arrives_by_twitter("ada", "12"));
        nothing_is_written(social);
    }
}
