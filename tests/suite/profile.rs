//! The profile: what PATCH changes, clears and leaves, and `If-Match`.

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::talk::pointers;

fn patches(app: &App, who: &SignedIn, body: &Value) -> Answer {
    app.client.patch("/v1/me").bearer(&who.access_token).json(body).send()
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
        let rows: [(&str, Value); 26] = [
            ("full_name", json!("")), ("full_name", json!(" ")), ("full_name", json!("x".repeat(201))), ("full_name", json!("a\nb")),
            ("full_name", json!("a\u{1b}[31m")), ("full_name", json!(7)), ("full_name", json!({ "first": "Ada" })),
            ("locale", json!("")), ("locale", json!("english")), ("locale", json!("en_US")), ("locale", json!("../en")),
            ("time_zone", json!("")), ("time_zone", json!("Europe//London")), ("time_zone", json!("../../etc/passwd")), ("time_zone", json!("a b")),
            ("phone", json!("")), ("phone", json!("0163 2960961")), ("phone", json!("+0123456789")), ("phone", json!("+1234567890123456")),
            ("avatar_url", json!("")), ("avatar_url", json!("http://img.example/a.png")), ("avatar_url", json!("javascript:alert(1)")),
            ("avatar_url", json!("https://a b")), ("role", json!("admin")), ("id", json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20")),
            ("primary_email", json!("eve@example.org")),
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

    fn an_etag_guards_against_lost_changes(app) {
        let ada = app.signs_up("ada@example.org");
        let read = app.me(&ada.access_token).expect(200);
        let tag = read.header("etag").unwrap();
        let changed = patches_if(app, &ada, tag, &json!({ "full_name": "Ada" })).expect(200);
        assert_ne!(changed.header("etag"), Some(tag));
        assert_eq!(app.me(&ada.access_token).header("etag"), changed.header("etag"));
        for stale in [tag, "\"none of ours\"", "garbage", "", "W/\"1\""] {
            let refused = patches_if(app, &ada, stale, &json!({ "full_name": "Eve" })).expect(412);
            assert_eq!(refused.code(), "precondition_failed");
        }
        patches_if(app, &ada, "*", &json!({ "locale": "en" })).expect(200);
        let now = app.me(&ada.access_token);
        assert_eq!(now.json()["full_name"], "Ada");
        let tag = now.header("etag").unwrap();
        let answers = in_parallel(6, |n| patches_if(app, &ada, tag, &json!({ "full_name": format!("Ada {n}") })).status);
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 412).count(), 5, "{answers:?}");
    }
}
