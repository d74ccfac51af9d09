//! The profile: what PATCH changes, clears and leaves, and `If-Match`.

use doorstep_core::api_key::Scope;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::{pointers, reads};

const ADA: &str = "ada@example.org";

fn patches(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.patches(who, body)
}

fn patches_if(app: &App, who: &SignedIn, tag: &str, body: &Value) -> Answer {
    app.client.patch("/v1/me").bearer(&who.access_token).header("If-Match", tag).json(body).send()
}

on_both! {
    fn a_patch_sets_clears_and_leaves(app) {
        let ada = app.signs_up("ada@example.org");
        let full = json!({
            "full_name": "Ada Lovelace", "locale": "de-CH", "time_zone": "Europe/London", "phone": "+441632960961",
            "avatar_url": "https://img.shop.example/ada.png",
        });
        let set = patches(app, &ada, &full).expect(200).json();
        for (name, value) in full.as_object().unwrap() {
            assert_eq!(set[name], *value);
        }
        let left = patches(app, &ada, &json!({ "time_zone": null, "full_name": "Ada King" })).expect(200).json();
        assert_eq!((&left["full_name"], &left["time_zone"], &left["locale"]), (&json!("Ada King"), &Value::Null, &json!("de-CH")));
        let same = patches(app, &ada, &json!({})).expect(200).json();
        assert_eq!(same, left, "nothing in it changes nothing");
        assert_eq!(app.me(&ada.access_token).expect(200).json(), left);
        let cleared = json!({ "full_name": null, "locale": null, "phone": null, "avatar_url": null });
        let cleared = patches(app, &ada, &cleared).expect(200).json();
        for name in full.as_object().unwrap().keys() {
            assert_eq!(cleared[name], Value::Null, "{name}");
        }
        let merge = app.client.patch("/v1/me").bearer(&ada.access_token);
        merge.body("application/merge-patch+json", r#"{"full_name":"Ada"}"#).send().expect(200);
    }

    fn what_no_profile_can_be_is_refused_with_a_pointer(app) {
        let ada = app.signs_up("ada@example.org");
        let before = app.me(&ada.access_token).expect(200).json();
        let rows: [(&str, Value); 31] = [
            ("full_name", json!("")), ("full_name", json!(" ")), ("full_name", json!("x".repeat(201))), ("full_name", json!("a\nb")),
            ("full_name", json!("a\u{1b}[31m")), ("full_name", json!(7)), ("full_name", json!({ "first": "Ada" })),
            ("locale", json!("")), ("locale", json!("english")), ("locale", json!("en_US")), ("locale", json!("../en")),
            ("time_zone", json!("")), ("time_zone", json!("Europe//London")), ("time_zone", json!("../../etc/passwd")), ("time_zone", json!("a b")),
            ("phone", json!("")), ("phone", json!("0163 2960961")), ("phone", json!("+0123456789")), ("phone", json!("+1234567890123456")),
            ("avatar_url", json!("")), ("avatar_url", json!("http://img.example/a.png")), ("avatar_url", json!("javascript:alert(1)")),
            ("avatar_url", json!("https://a b")), ("role", json!("admin")), ("id", json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20")),
            ("primary_email", json!("eve@example.org")), ("full_name", json!("Ada\u{202e}gro.elpmaxe")), ("full_name", json!("\u{200b}")),
            ("full_name", json!("Ada\u{2028}Support")), ("full_name", json!("\u{feff}Ada")),
            ("avatar_url", json!("https://shop.example:x@evil.example/a.png")),
        ];
        for (name, value) in rows {
            let mut body = json!({ "locale": "en" });
            body[name] = value;
            let refused = patches(app, &ada, &body).expect(422);
            assert_eq!(pointers(&refused), [format!("/{name}")], "{body}");
        }
        let all = json!({ "full_name": "", "locale": "", "time_zone": "", "phone": "", "avatar_url": "" });
        assert_eq!(pointers(&patches(app, &ada, &all).expect(422)).len(), 5, "all that is wrong is said at once");
        assert_eq!(patches(app, &ada, &json!({ "full_name": "a\0b" })).expect(400).code(), "malformed_json");
        for body in [json!([]), json!("x"), Value::Null] {
            patches(app, &ada, &body).expect(422);
        }
        assert_eq!(app.me(&ada.access_token).expect(200).json(), before);
    }

    fn a_name_is_kept_without_the_spaces_around_it(app) {
        let mut push = App::email_push("msg-1", "case-1", ADA);
        push["from"]["name"] = json!("Ada\u{202e} \u{200b}");
        let met = app.push(&push).expect(201).json();
        let named = app.desk_account(&met["account_id"]).expect(200).json()["full_name"].clone();
        assert_eq!(named, "Ada", "what hides in a name that a desk has met is left out");
        app.asks_to_sign_up(ADA).expect(202);
        let confirm = |name: &str| {
            let token = app.secret_mailed_to(ADA).token;
            app.confirms_sign_up(&json!({ "token": token, "password": PASSWORD, "full_name": name }))
        };
        assert_eq!(pointers(&confirm("Ada\u{2066}").expect(422)), ["/full_name"]);
        let ada = SignedIn::of(&confirm("  Ada Lovelace\u{a0}").expect(201));
        assert_eq!(ada.account["full_name"], "Ada Lovelace");
        for (sent, kept) in [(" Ada King ", "Ada King"), ("می\u{200c}خواهم", "می\u{200c}خواهم"), ("👩\u{200d}💻", "👩\u{200d}💻")] {
            assert_eq!(patches(app, &ada, &json!({ "full_name": sent })).expect(200).json()["full_name"], kept);
        }
    }

    fn what_is_shown_and_not_changed_here_says_what_changes_it(app) {
        let ada = app.signs_up("ada@example.org");
        let before = app.me(&ada.access_token).expect(200);
        let taken = ["full_name", "locale", "time_zone", "phone", "avatar_url", "notifications", "custom"];
        for (name, value) in before.json().as_object().unwrap().iter().filter(|(name, _)| !taken.contains(&name.as_str())) {
            let refused = patches(app, &ada, &json!({ name: value, "locale": "en" })).expect(422).json();
            let error = &refused["errors"][0];
            assert_eq!((&error["pointer"], &error["code"]), (&json!(format!("/{name}")), &json!("read_only")), "{refused}");
            let detail = error["detail"].as_str().unwrap();
            assert!(name != "primary_email" || detail.contains("/v1/me/emails/{id}/make-primary"), "{detail}");
        }
        let whole = patches(app, &ada, &before.json()).expect(422);
        assert_eq!(pointers(&whole), ["/claimed_at", "/created_at", "/id", "/primary_email", "/role", "/updated_at"]);
        let unknown = patches(app, &ada, &json!({ "nickname": "A" })).expect(422).json();
        assert_eq!(unknown["errors"][0]["code"], "unknown_field");
        assert!(!unknown["errors"][0]["detail"].as_str().unwrap().contains("primary_email"), "{unknown}");
        assert_eq!(app.me(&ada.access_token).expect(200).json(), before.json());
    }

    fn all_that_is_wrong_with_a_change_is_said_at_once(app) {
        app.defines("size", "number", "customer_edits").expect(201);
        let ada = app.signs_up("ada@example.org");
        let odd = json!({
            "time_zone": "Mars/Phobos", "full_name": 7, "id": "x", "nickname": "A", "notifications": { "announcements": "no" },
            "custom": { "size": "large" },
        });
        let all = ["/full_name", "/id", "/nickname", "/notifications/announcements", "/time_zone", "/custom/size"];
        assert_eq!(pointers(&patches(app, &ada, &odd).expect(422)), all);
        let many: Value = (0..12).map(|n| (format!("x{n}"), json!(1))).chain([("id".to_owned(), json!(1))]).collect::<serde_json::Map<_, _>>().into();
        let refused = patches(app, &ada, &many).expect(422).json();
        assert_eq!(refused["errors"].as_array().unwrap().len(), 10, "{refused}");
        assert_eq!(app.me(&ada.access_token).expect(200).json()["full_name"], Value::Null);
    }

    fn null_for_a_group_of_choices_says_what_to_send(app) {
        let ada = app.signs_up("ada@example.org");
        for (name, word) in [("notifications", "{\"announcements\": null}"), ("custom", "{\"tier\": null}")] {
            let refused = patches(app, &ada, &json!({ name: null })).expect(422).json();
            let error = &refused["errors"][0];
            assert_eq!((&error["pointer"], &error["code"]), (&json!(format!("/{name}")), &json!("wrong_type")));
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.starts_with("Send an object") && detail.contains(word), "{detail}");
        }
        let desk = app.says_of(&ada.account["id"], &Value::Null).expect(422).json();
        assert!(desk["errors"][0]["detail"].as_str().unwrap().contains("{\"tier\": null}"), "{desk}");
    }

    fn an_etag_guards_against_lost_changes(app) {
        let ada = app.signs_up("ada@example.org");
        let read = app.me(&ada.access_token).expect(200);
        let tag = read.header("etag").unwrap();
        let changed = patches_if(app, &ada, tag, &json!({ "full_name": "Ada" })).expect(200);
        assert_ne!(changed.header("etag"), Some(tag));
        assert_eq!(app.me(&ada.access_token).header("etag"), changed.header("etag"));
        for stale in [tag, "\"none-of-ours\"", "\"a,b\", \"c\"", "", "W/\"1\"", &format!("W/{}", changed.header("etag").unwrap())] {
            let refused = patches_if(app, &ada, stale, &json!({ "full_name": "Eve" })).expect(412);
            assert_eq!(refused.code(), "precondition_failed");
        }
        for garbled in ["garbage", tag.trim_matches('"'), "*, *", "\"a\" \"b\""] {
            let refused = patches_if(app, &ada, garbled, &json!({ "full_name": "Eve" })).expect(422);
            assert_eq!((pointers(&refused), refused.code()), (vec!["/If-Match".to_owned()], "validation_failed".to_owned()), "{garbled}");
        }
        patches_if(app, &ada, "*", &json!({ "locale": "en" })).expect(200);
        let now = app.me(&ada.access_token);
        assert_eq!(now.json()["full_name"], "Ada");
        let tag = now.header("etag").unwrap();
        let answers = in_parallel(6, |n| patches_if(app, &ada, tag, &json!({ "full_name": format!("Ada {n}") })).status);
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 412).count(), 5, "{answers:?}");
    }

    fn what_is_known_is_not_read_again(app) {
        app.defines("size", "text", "customer_edits").expect(201);
        let ada = app.signs_up("ada@example.org");
        let desk = app.api_key(&[Scope::AccountsRead]);
        let account = format!("/v1/accounts/{}", ada.account["id"].as_str().unwrap());
        for (path, token) in [("/v1/me", &ada.access_token), (account.as_str(), &desk), ("/v1/custom-fields/size", &desk)] {
            let ask = |known: &str| app.client.get(path).bearer(token).header("If-None-Match", known).send();
            let whole = app.client.get(path).bearer(token).send().expect(200);
            let tag = whole.header("etag").unwrap();
            for known in [tag, "*", &format!("W/{tag}"), &format!("\"x\", {tag}")] {
                let same = ask(known).expect(304);
                assert_eq!((same.header("etag"), same.body.len(), same.header("content-type")), (Some(tag), 0, None), "{path} {known}");
                assert!(same.header("x-request-id").is_some());
            }
            for another in ["\"x\"", "", "garbage"] {
                assert_eq!(ask(another).expect(200).json(), whole.json(), "{path} {another}");
            }
            let head = app.client.request("HEAD".parse().unwrap(), path).bearer(token).header("If-None-Match", tag).send();
            assert_eq!((head.status, head.header("etag")), (304, Some(tag)));
        }
        let tag = app.me(&ada.access_token).header("etag").unwrap().to_owned();
        patches(app, &ada, &json!({ "full_name": "Ada" })).expect(200);
        app.client.get("/v1/me").bearer(&ada.access_token).header("If-None-Match", &tag).send().expect(200);
    }

    fn what_somebody_wants_mail_about_is_theirs_to_choose(app) {
        let ada = app.signs_up("ada@example.org");
        let by_default = json!({ "conversation_replies": true, "rating_requests": true, "announcements": false });
        let read = app.me(&ada.access_token).expect(200);
        assert_eq!(read.json()["notifications"], by_default);
        let chosen = patches(app, &ada, &json!({ "notifications": { "conversation_replies": false, "announcements": true } })).expect(200);
        assert_eq!(chosen.json()["notifications"], json!({ "conversation_replies": false, "rating_requests": true, "announcements": true }));
        assert_ne!(chosen.header("etag"), read.header("etag"));
        assert_eq!(app.desk_account(&ada.account["id"]).json()["notifications"], chosen.json()["notifications"], "the desk asks before it mails");
        let left = patches(app, &ada, &json!({ "notifications": { "conversation_replies": null } })).expect(200);
        assert_eq!(left.json()["notifications"], json!({ "conversation_replies": true, "rating_requests": true, "announcements": true }));
        assert_eq!(patches(app, &ada, &json!({ "notifications": {} })).expect(200).json(), left.json());
        let rows: [(Value, &str); 7] = [
            (json!({ "conversation_replies": "no" }), "/notifications/conversation_replies"), (json!({ "announcements": 1 }), "/notifications/announcements"),
            (json!({ "password_set": false }), "/notifications/password_set"), (json!({ "security": false }), "/notifications/security"),
            (Value::Null, "/notifications"), (json!([]), "/notifications"), (json!(false), "/notifications"),
        ];
        for (value, pointer) in rows {
            let refused = patches(app, &ada, &json!({ "full_name": "Eve", "notifications": value })).expect(422);
            assert_eq!(pointers(&refused), [pointer], "{value}");
        }
        assert_eq!(app.me(&ada.access_token).expect(200).json(), left.json());
    }

    fn mail_that_tells_of_a_change_to_the_ways_in_cannot_be_turned_off(app) {
        let ada = app.signs_up("ada@example.org");
        let none = json!({ "conversation_replies": false, "rating_requests": false, "announcements": false });
        patches(app, &ada, &json!({ "notifications": none })).expect(200);
        let before = app.mail_to("ada@example.org").len();
        app.claims("ada@example.org");
        assert_eq!(app.mail_to("ada@example.org").len(), before + 2, "the secret, and that it was used");
        let ada = app.signs_in("ada@example.org");
        assert_eq!(app.me(&ada.access_token).expect(200).json()["notifications"], none);
        app.adds(&ada, "ada@work.example");
        assert!(app.mail_to("ada@example.org").last().unwrap().text().contains("ada@work.example"));
    }

    fn a_tag_changes_with_all_that_is_shown_and_with_nothing_else(app) {
        let ada = app.signs_up("ada@example.org");
        let tag = || app.me(&ada.access_token).header("etag").unwrap().to_owned();
        let mut tags = vec![tag()];
        reads(app, &ada, "/v1/me/conversations").expect(200);
        app.refreshes(&ada.refresh_token).expect(200);
        assert_eq!(tag(), tags[0]);
        app.advance(std::time::Duration::from_secs(1));
        let body = json!({ "current_password": PASSWORD, "password": OTHER_PASSWORD });
        let ada = SignedIn::of(&app.client.put("/v1/me/password").bearer(&ada.access_token).json(&body).send().expect(200));
        let tag = || app.me(&ada.access_token).header("etag").unwrap().to_owned();
        assert_eq!(tag(), tags[0], "no password is shown");
        for change in [json!({ "full_name": "Ada" }), json!({ "notifications": { "announcements": true } }), json!({ "locale": "de" })] {
            app.advance(std::time::Duration::from_secs(1));
            patches(app, &ada, &change).expect(200);
            tags.push(tag());
        }
        let other = app.adds(&ada, "ada@work.example");
        app.makes_primary(&ada, &other).expect(200);
        tags.push(tag());
        app.defines("size", "text", "customer_edits").expect(201);
        tags.push(tag());
        app.says_of(&ada.account["id"], &json!({ "size": "S" })).expect(200);
        tags.push(tag());
        app.defines("size", "text", "desk").expect(200);
        tags.push(tag());
        let distinct: std::collections::BTreeSet<&String> = tags.iter().collect();
        assert_eq!(distinct.len(), tags.len(), "{tags:?}");
        assert_eq!(patches_if(app, &ada, &tags[0], &json!({ "full_name": "Eve" })).expect(412).code(), "precondition_failed");
        let last = tags.last().unwrap();
        patches_if(app, &ada, &format!("{}, {last}", tags[0]), &json!({ "full_name": "Ada King" })).expect(200);
    }
}
