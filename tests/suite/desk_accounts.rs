//! What the help desk knows of people, and what of that comes to whom: claims, claims in part, links and merges.

use std::time::Duration;

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::merging::merges;
use doorstep_tests::social::{Social, continuation, proven, signed_in};
use doorstep_tests::{App, SignedIn, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{becomes, text, tweets};

/// A field that customers read, one that they edit, and one of the desk alone.
fn define(app: &App) {
    app.defines("tier", "choice", "customer_reads").expect(201);
    app.defines("size", "text", "customer_edits").expect(201);
    app.defines("note", "text", "desk").expect(201);
}

/// Says something in each of them.
fn say(app: &App, id: &Value, word: &str) {
    app.says_of(id, &json!({ "tier": "gold", "size": word, "note": format!("a note on {word}") })).expect(200);
}

/// What the desk sees: values, and keys of those that are withheld.
fn desk_sees(app: &App, id: &Value) -> (Value, Value) {
    let account = app.desk_account(id).expect(200).json();
    (account["custom"].clone(), account["custom_withheld"].clone())
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

/// Somebody whom support knows by a tweet and by an address: two keys of one push.
fn two_keys(app: &App, id: &str, email: &str) -> Value {
    tweets(app, &json!({ "twitter": { "id": id, "handle": "ada" }, "email": email }))["account_id"].clone()
}

/// Somebody by Twitter, who proves an address besides.
fn by_twitter_with_email(social: &Social, id: &str, email: &str) -> SignedIn {
    let go_on = continuation(social.arrives_by_twitter("ada", id));
    social.gives_email(&go_on, email).expect(202);
    signed_in(social.proves_email(&go_on, &social.code_mailed_to(email)))
}

const NOTHING: fn() -> Value = || json!({ "size": null, "tier": null });

on_both! {
    fn the_desk_reads_people_also_before_they_come(app) {
        let id = app.emails_support("Ada@Example.org")["account_id"].clone();
        let known = app.desk_account(&id).expect(200).json();
        assert_eq!((&known["id"], &known["state"], &known["primary_email"], &known["claimed_at"]), (&id, &json!("unclaimed"), &Value::Null, &Value::Null));
        assert_eq!(known["notifications"], json!({ "conversation_replies": true, "rating_requests": true, "announcements": false }));
        let identity = &known["identities"][0];
        assert_eq!((&identity["kind"], &identity["subject"], &identity["label"]), (&json!("email"), &json!("ada@example.org"), &json!("Ada@Example.org")));
        assert_eq!((&identity["proven_at"], known["identities"].as_array().unwrap().len()), (&Value::Null, 1));
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        app.patches(&ada, &json!({ "full_name": "Ada King", "locale": "de", "notifications": { "announcements": true } })).expect(200);
        let claimed = app.desk_account(&id).expect(200).json();
        assert_eq!((&claimed["state"], &claimed["primary_email"], &claimed["full_name"]), (&json!("claimed"), &json!("ada@example.org"), &json!("Ada King")));
        assert!(claimed["identities"][0]["proven_at"].is_string() && claimed["identities"][0]["is_primary"] == true);
        assert_eq!(claimed["notifications"]["announcements"], true);
        becomes(app, "ada@example.org", "disabled");
        assert_eq!(app.desk_account(&id).expect(200).json()["state"], "disabled");
    }

    fn an_account_that_is_here_no_more_says_where_it_went(app) {
        define(app);
        let [one, two, three] = ["one", "two", "three"].map(|name| app.emails_support(&format!("{name}@example.org"))["account_id"].clone());
        let merged = |from: &str, to: &str| {
            let id = |name: &str| format!("(SELECT o.account_id FROM identities o WHERE o.subject = '{name}@example.org')");
            app.sql(&format!("UPDATE accounts SET state = 'merged', merged_into = {} WHERE id = {}", id(to), id(from)));
        };
        merged("one", "two");
        merged("two", "three");
        for gone in [&one, &two] {
            let link = format!("</v1/accounts/{}>; rel=\"successor-version\"", three.as_str().unwrap());
            for answer in [app.desk_account(gone), app.says_of(gone, &json!({ "note": "x" })), app.says_of(gone, &json!({ "absent": "x" }))] {
                let answer = answer.expect(410);
                assert_eq!((answer.code(), &answer.json()["survivor_id"]), ("account_merged".to_owned(), &three));
                assert_eq!(answer.header("link"), Some(link.as_str()));
            }
        }
        app.desk_account(&three).expect(200);
        becomes(app, "three@example.org", "deleted");
        for gone in [&one, &two, &three] {
            for answer in [app.desk_account(gone), app.says_of(gone, &json!({ "note": "x" }))] {
                let answer = answer.expect(410);
                assert_eq!((answer.code(), answer.json().get("survivor_id"), answer.header("link")), ("account_deleted".to_owned(), None, None));
            }
        }
        for nobody in ["0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20", "x", "%00", "me"] {
            assert_eq!(app.desk_account(&json!(nobody)).expect(404).code(), "not_found");
            assert_eq!(app.says_of(&json!(nobody), &json!({})).expect(404).code(), "not_found");
        }
        assert_eq!(app.count("SELECT count(*) AS n FROM accounts WHERE CAST(custom AS text) <> '{}'"), 0);
    }

    fn az_08_reading_people_does_not_make_one_write_nor_define(app) {
        let id = app.emails_support("ada@example.org")["account_id"].clone();
        let path = format!("/v1/accounts/{}", id.as_str().unwrap());
        let field = json!({ "title": "x", "type": "text", "visible_to": "desk" });
        for scope in Scope::ALL {
            let key = app.api_key(&[*scope]);
            let say = app.client.patch(&path).bearer(&key).json(&json!({ "custom": {} })).send();
            let read = app.client.get(&path).bearer(&key).send();
            let list = app.client.get("/v1/custom-fields").bearer(&key).send();
            let put = app.client.put("/v1/custom-fields/x").bearer(&key).json(&field).send();
            let delete = app.client.delete("/v1/custom-fields/x").bearer(&key).send();
            let may = [read.status == 200, list.status == 200, say.status == 200, put.status == 201, delete.status == 204];
            let (reads, writes, defines) = (*scope == Scope::AccountsRead, *scope == Scope::AccountsWrite, *scope == Scope::CustomFieldsWrite);
            assert_eq!(may, [reads, reads, writes, defines, defines], "{scope}");
            for (answer, may) in [read, list, say, put, delete].iter().zip(may) {
                assert!(may || answer.code() == "insufficient_scope", "{scope}");
            }
        }
    }

    fn a_tag_guards_what_the_desk_says_against_lost_changes(app) {
        define(app);
        let id = app.emails_support("ada@example.org")["account_id"].clone();
        let read = app.desk_account(&id).expect(200);
        let tag = read.header("etag").unwrap().to_owned();
        let answers = in_parallel(6, |n| app.says_of_if(&id, Some(&tag), &json!({ "note": format!("note {n}") })));
        assert_eq!(statuses(&answers), [200, 412, 412, 412, 412, 412]);
        let now = app.desk_account(&id).expect(200);
        let winner = answers.iter().find(|answer| answer.status == 200).unwrap();
        assert_eq!((winner.json(), winner.header("etag")), (now.json(), now.header("etag")));
        let again = app.says_of_if(&id, now.header("etag"), &json!({ "note": now.json()["custom"]["note"] })).expect(200);
        assert_eq!(again.header("etag"), now.header("etag"), "nothing new changes nothing");
        app.says_of_if(&id, Some("*"), &json!({ "note": null })).expect(200);
        assert_eq!(app.says_of_if(&id, now.header("etag"), &json!({ "note": "x" })).expect(412).code(), "precondition_failed");
    }

    fn two_who_change_different_fields_at_once_both_have_their_way(app) {
        define(app);
        let ada = app.signs_up("ada@example.org");
        let id = &ada.account["id"];
        let answers = in_parallel(8, |n| match n % 2 {
            0 => app.says_of(id, &json!({ "note": format!("note {n}") })),
            _ => app.patches(&ada, &json!({ "custom": { "size": format!("size {n}") } })),
        });
        assert_eq!(statuses(&answers), [200; 8]);
        let (custom, _) = desk_sees(app, id);
        assert!(custom["note"].is_string() && custom["size"].is_string(), "{custom}");
    }

    fn what_was_said_before_the_owner_came_is_there_when_they_do(app) {
        define(app);
        let id = app.emails_support("ada@example.org")["account_id"].clone();
        say(app, &id, "S");
        app.claims("ada@example.org");
        let ada = app.signs_in("ada@example.org");
        assert_eq!((&ada.account["id"], app.custom_of(&ada)), (&id, json!({ "size": "S", "tier": "gold" })));
        app.claims("ada@example.org");
        assert_eq!(app.custom_of(&app.signs_in("ada@example.org")), json!({ "size": "S", "tier": "gold" }), "a recovery changes nothing of it");
    }
}

on_both_with_providers! {
    fn ph_19_what_was_said_of_two_is_for_neither_of_them_to_read(social) {
        define(social);
        let rest = two_keys(social, "12", "ada@example.org");
        say(social, &rest, "S");
        let before = social.desk_account(&rest).expect(200);
        let mallory = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_ne!(mallory.account["id"], rest);
        assert_eq!(social.custom_of(&mallory), NOTHING(), "the claimed part starts with what its identity says");
        assert_eq!(desk_sees(social, &mallory.account["id"]).0, json!({ "size": null, "tier": null, "note": null }));
        let said = json!({ "size": "S", "tier": "gold", "note": "a note on S" });
        assert_eq!(desk_sees(social, &rest), (said.clone(), json!(["tier", "size"])), "to the desk nothing is lost");
        let late = social.says_of_if(&rest, before.header("etag"), &json!({ "tier": "silver" }));
        assert_eq!(late.expect(412).code(), "precondition_failed", "the desk can tell that one of them went");
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        assert_eq!((&ada.account["id"], social.custom_of(&ada)), (&rest, NOTHING()));
        assert_eq!(desk_sees(social, &rest), (said, json!(["tier", "size"])));
        social.defines("note", "text", "customer_reads").expect(200);
        assert_eq!(social.custom_of(&ada)["note"], Value::Null, "nor is it shown when the field is");
        let tag = social.me(&ada.access_token).header("etag").unwrap().to_owned();
        social.says_of(&rest, &json!({ "tier": "gold" })).expect(200);
        let now = social.me(&ada.access_token).expect(200);
        assert_eq!(now.json()["custom"], json!({ "size": null, "tier": "gold", "note": null }), "said again, it is hers");
        assert_ne!(now.header("etag"), Some(tag.as_str()));
        social.patches(&ada, &json!({ "custom": { "size": "S" } })).expect(200);
        assert_eq!(desk_sees(social, &rest).1, json!(["note"]));
    }

    fn ph_19_it_is_withheld_whichever_of_them_comes_first(social) {
        define(social);
        let rest = two_keys(social, "12", "ada@example.org");
        say(social, &rest, "S");
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        assert_eq!((ada.account["id"] == rest, social.custom_of(&ada)), (false, NOTHING()));
        let mallory = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!((&mallory.account["id"], social.custom_of(&mallory)), (&rest, NOTHING()), "what is about Ada is not Mallory's");
        let before = social.me(&mallory.access_token);
        let cleared = social.patches(&mallory, &json!({ "custom": { "size": null } })).expect(200);
        assert_eq!((cleared.json(), cleared.header("etag")), (before.json(), before.header("etag")), "there was nothing to clear");
        assert_eq!(desk_sees(social, &rest).0["size"], "S");
        assert_eq!(desk_sees(social, &rest).1, json!(["tier", "size"]));
    }

    fn who_proves_all_that_it_was_said_of_reads_it(social) {
        define(social);
        let said = || json!({ "size": "S", "tier": "gold" });
        let by_address = social.emails_support("ada@gmail.com")["account_id"].clone();
        say(social, &by_address, "S");
        let ada = signed_in(social.arrives_by_google("g-1", &proven("ada@gmail.com")));
        assert_eq!((&ada.account["id"], social.custom_of(&ada)), (&by_address, said()));
        let by_code = social.emails_support("bob@example.org")["account_id"].clone();
        say(social, &by_code, "S");
        let bob = by_twitter_with_email(social, "13", "bob@example.org");
        assert_eq!((&bob.account["id"], social.custom_of(&bob)), (&by_code, said()));
        let by_tweet = tweets(social, &json!({ "twitter": { "id": "14", "handle": "carl" } }))["account_id"].clone();
        say(social, &by_tweet, "S");
        let carl = signed_in(social.arrives_by_twitter("carl", "14"));
        assert_eq!((&carl.account["id"], social.custom_of(&carl)), (&by_tweet, said()));
        assert_eq!(desk_sees(social, &by_tweet).1, json!([]));
    }

    fn what_was_said_comes_along_by_a_link(social) {
        define(social);
        social.claims("ada@example.org");
        let ada = social.signs_in("ada@example.org");
        social.patches(&ada, &json!({ "custom": { "size": "S" } })).expect(200);
        let tweet = tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        say(social, &tweet["account_id"], "XL");
        social.links_twitter(&ada, "ada", "12").expect(200);
        assert_eq!(social.custom_of(&ada), json!({ "size": "S", "tier": "gold" }), "hers wins, and a gap is filled");
        assert_eq!(desk_sees(social, &ada.account["id"]).0["note"], "a note on XL");
        let gone = social.desk_account(&tweet["account_id"]).expect(410);
        assert_eq!(gone.json()["survivor_id"], ada.account["id"]);
        assert_eq!(social.count("SELECT count(*) AS n FROM accounts WHERE CAST(custom AS text) <> '{}'"), 1, "the one that went keeps nothing");
    }

    fn of_two_accounts_that_become_one_the_survivors_values_win(social) {
        define(social);
        social.defines("more", "text", "customer_reads").expect(201);
        let rest = two_keys(social, "12", "carl@example.org");
        social.says_of(&rest, &json!({ "more": "about somebody" })).expect(200);
        signed_in(social.arrives_by_twitter("carl", "12"));
        social.claims("carl@example.org");
        social.claims("ada@example.org");
        let (ada, other) = (social.signs_in("ada@example.org"), social.signs_in("carl@example.org"));
        social.says_of(&ada.account["id"], &json!({ "size": "mine", "note": "mine" })).expect(200);
        social.says_of(&other.account["id"], &json!({ "size": "other", "note": "other", "tier": "gold" })).expect(200);
        social.patches(&ada, &json!({ "notifications": { "announcements": true } })).expect(200);
        social.patches(&other, &json!({ "notifications": { "announcements": false, "rating_requests": false } })).expect(200);
        let preview = merges(social, &ada, &other, true).expect(200);
        assert_eq!((preview.json()["merged"].clone(), social.custom_of(&ada)["tier"].clone()), (json!(false), Value::Null));
        let tag = social.me(&ada.access_token).header("etag").unwrap().to_owned();
        merges(social, &ada, &other, false).expect(200);
        let me = social.me(&ada.access_token).expect(200);
        assert_eq!(me.json()["custom"], json!({ "size": "mine", "tier": "gold", "more": null }), "what was withheld stays so");
        assert_eq!(me.json()["notifications"], json!({ "conversation_replies": true, "rating_requests": false, "announcements": true }));
        assert_ne!(me.header("etag"), Some(tag.as_str()));
        let said = json!({ "size": "mine", "note": "mine", "tier": "gold", "more": "about somebody" });
        assert_eq!(desk_sees(social, &ada.account["id"]), (said, json!(["more"])));
        let left = text(social, "SELECT CAST(custom AS text) || CAST(notifications AS text) AS t FROM accounts WHERE state = 'merged'");
        assert_eq!(left, "{}{}");
    }

    fn a_claim_in_part_and_the_desk_at_once_show_nothing_to_whom_it_is_not_about(social) {
        define(social);
        for n in 1..5 {
            let email = format!("ada{n}@example.org");
            let rest = two_keys(social, &n.to_string(), &email);
            let tag = social.desk_account(&rest).expect(200).header("etag").unwrap().to_owned();
            let answers = in_parallel(2, |i| match i {
                0 => social.arrives_by_twitter("ada", &n.to_string()),
                _ => social.says_of_if(&rest, Some(&tag), &json!({ "tier": "gold" })),
            });
            assert!(answers[0].status == 200 && [200, 412].contains(&answers[1].status), "{answers:?}");
            social.claims(&email);
            assert_eq!(social.custom_of(&social.signs_in(&email)), NOTHING(), "{answers:?}");
            social.advance(Duration::from_secs(3600));
        }
    }
}
