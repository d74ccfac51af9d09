//! Custom fields: the desk defines them, and who may see one sees it, and nobody else a trace of it.

use std::time::Duration;

use doorstep_core::house;
use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::PASSWORD;
use doorstep_tests::{App, SignedIn, on_both, statements};
use serde_json::{Value, json};

use crate::forced::text;
use crate::talk::{column, items, pointers, reads};

fn fields(app: &App) -> Vec<Value> {
    items(&app.desk_gets("/v1/custom-fields").expect(200))
}

fn field_tag(app: &App, key: &str) -> String {
    app.desk_gets(&format!("/v1/custom-fields/{key}")).expect(200).header("etag").unwrap().to_owned()
}

fn puts_field_if(app: &App, key: &str, tag: &str, body: &Value) -> Answer {
    let desk = app.api_key(&[doorstep_core::api_key::Scope::CustomFieldsWrite]);
    let put = app.client.put(&format!("/v1/custom-fields/{key}")).bearer(&desk).header("If-Match", tag);
    put.json(body).send()
}

/// The pointer and the code of each fault, in order.
fn faults(answer: &Answer) -> Vec<(String, String)> {
    let body = answer.json();
    let errors = body["errors"].as_array().unwrap();
    column(errors, "pointer").into_iter().zip(column(errors, "code")).collect()
}

fn fault(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

fn events(app: &App, action: &str) -> i64 {
    app.count(&format!("SELECT count(*) AS n FROM audit_events WHERE action = '{action}'"))
}

fn edits(app: &App, who: &SignedIn, custom: &Value) -> Answer {
    app.patches(who, &json!({ "custom": custom }))
}

/// All of an answer that its reader could learn something by.
fn seen(answer: &Answer) -> (u16, String, Option<String>) {
    let mut body = answer.json();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    (answer.status, body.to_string(), answer.header("etag").map(str::to_owned))
}

/// What stands in the database of what accounts have of custom fields.
fn kept(app: &App) -> i64 {
    app.count("SELECT count(*) AS n FROM accounts WHERE CAST(custom AS text) <> '{}'")
}

on_both! {
    fn the_desk_defines_changes_and_deletes_fields(app) {
        assert_eq!(fields(app), Vec::<Value>::new());
        let made = app.defines("tier", "choice", "customer_reads").expect(201);
        let mut body = made.json();
        for time in ["created_at", "updated_at"] {
            body.as_object_mut().unwrap().remove(time).unwrap();
        }
        let tier = json!({ "key": "tier", "title": "tier", "type": "choice", "choices": ["silver", "gold"], "visible_to": "customer_reads" });
        assert_eq!(body, tier);
        app.defines("note", "text", "desk").expect(201);
        assert_eq!(column(&fields(app), "key"), ["tier", "note"], "in the order they were made");
        assert_eq!(app.desk_gets("/v1/custom-fields/tier").expect(200).json(), made.json());
        let same = app.defines("tier", "choice", "customer_reads").expect(200);
        assert_eq!((same.json(), same.header("etag")), (made.json(), made.header("etag")), "nothing new changes nothing");
        let new = json!({ "title": " Customer tier ", "type": "choice", "choices": ["gold", "none "], "visible_to": "customer_edits" });
        let changed = app.puts_field("tier", &new).expect(200).json();
        assert_eq!((&changed["title"], &changed["choices"]), (&json!("Customer tier"), &json!(["gold", "none"])));
        assert_eq!(changed["created_at"], made.json()["created_at"]);
        assert_eq!((events(app, "custom_field.created"), events(app, "custom_field.updated")), (2, 1));
        app.deletes_field("tier").expect(204);
        assert_eq!(app.deletes_field("tier").expect(404).code(), "not_found");
        app.desk_gets("/v1/custom-fields/tier").expect(404);
        assert_eq!(column(&fields(app), "key"), ["note"]);
        assert_eq!(events(app, "custom_field.deleted"), 1);
    }

    fn what_no_field_can_be_is_refused_with_a_pointer(app) {
        let good = json!({ "title": "Size", "type": "choice", "choices": ["S"], "visible_to": "desk" });
        for key in ["Size", "1size", "_", "a-b", "a.b", "%20", "a%0a", "a%00", "%C3%A4", &"a".repeat(41)] {
            let refused = app.puts_field(key, &good).expect(422);
            assert_eq!(faults(&refused), fault("/key", "invalid"), "{key}");
            app.desk_gets(&format!("/v1/custom-fields/{key}")).expect(404);
            app.deletes_field(key).expect(404);
        }
        let rows: [(&str, Value, &str, &str); 16] = [
            ("title", json!(""), "/title", "invalid"), ("title", json!("x".repeat(101)), "/title", "invalid"),
            ("title", json!("a\nb"), "/title", "invalid"), ("title", json!("Tier\u{202e}"), "/title", "invalid"), ("title", json!(7), "/title", "wrong_type"),
            ("type", json!("json"), "/type", "not_one_of"), ("type", json!("Text"), "/type", "not_one_of"),
            ("type", json!("text"), "/choices", "invalid"), ("choices", json!([]), "/choices", "required"),
            ("choices", json!(["S", "S"]), "/choices/1", "invalid"), ("choices", json!(["S", " "]), "/choices/1", "invalid"),
            ("choices", json!([7]), "/choices/0", "wrong_type"), ("choices", json!("S"), "/choices", "wrong_type"),
            ("visible_to", json!("agents"), "/visible_to", "not_one_of"), ("visible_to", Value::Null, "/visible_to", "wrong_type"),
            ("key", json!("other"), "/key", "unknown_field"),
        ];
        for (name, value, pointer, code) in rows {
            let mut body = good.clone();
            body[name] = value;
            assert_eq!(faults(&app.puts_field("size", &body).expect(422)), fault(pointer, code), "{body}");
        }
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let many = json!({ "title": "Size", "type": "choice", "choices": many, "visible_to": "desk" });
        assert_eq!(faults(&app.puts_field("size", &many).expect(422)), fault("/choices", "invalid_length"));
        assert_eq!(pointers(&app.puts_field("size", &json!({})).expect(422)), ["/title", "/type", "/visible_to"]);
        assert_eq!(app.puts_field("size", &json!({ "title": "a\0" })).expect(400).code(), "malformed_json");
        assert_eq!((fields(app).len(), events(app, "custom_field.created")), (0, 0));
    }

    fn there_are_fifty_fields_and_never_one_more(app) {
        for n in 0..47 {
            app.defines(&format!("f{n}"), "text", "desk").expect(201);
        }
        let answers = in_parallel(8, |n| app.defines(&format!("more{n}"), "text", "desk"));
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).map(Answer::code).collect();
        assert_eq!((made, refused), (3, vec!["too_many_custom_fields".to_owned(); 5]));
        assert_eq!(fields(app).len(), 50);
        app.defines("f7", "text", "customer_reads").expect(200);
        app.deletes_field("f7").expect(204);
        let same = in_parallel(6, |_| app.defines("last", "text", "desk").status);
        assert_eq!(same.iter().filter(|status| **status == 201).count(), 1, "{same:?}");
        assert_eq!(app.defines("f7", "text", "desk").expect(409).code(), "too_many_custom_fields");
    }

    fn a_tag_guards_a_field_against_lost_changes(app) {
        app.defines("tier", "text", "desk").expect(201);
        let tag = field_tag(app, "tier");
        let body = |title: &str| json!({ "title": title, "type": "text", "visible_to": "desk" });
        let answers = in_parallel(6, |n| puts_field_if(app, "tier", &tag, &body(&format!("Tier {n}"))).status);
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|status| **status == 412).count(), 5, "{answers:?}");
        assert_eq!(puts_field_if(app, "absent", "*", &body("x")).expect(412).code(), "precondition_failed");
        let desk = app.api_key(&[doorstep_core::api_key::Scope::CustomFieldsWrite]);
        let delete = |tag: &str| app.client.delete("/v1/custom-fields/tier").bearer(&desk).header("If-Match", tag).send();
        assert_eq!(delete(&tag).expect(412).code(), "precondition_failed");
        delete(&field_tag(app, "tier")).expect(204);
    }

    fn a_type_stays_and_a_deleted_field_leaves_nothing(app) {
        let ada = app.signs_up("ada@example.org");
        app.defines("size", "text", "customer_edits").expect(201);
        app.defines("note", "text", "desk").expect(201);
        edits(app, &ada, &json!({ "size": "a word of Ada" })).expect(200);
        app.says_of(&ada.account["id"], &json!({ "note": "stays" })).expect(200);
        let number = app.defines("size", "number", "customer_edits").expect(422);
        assert_eq!(faults(&number), fault("/type", "fixed"));
        app.deletes_field("size").expect(204);
        assert_eq!(app.custom_of(&ada), json!({}));
        assert_eq!(app.desk_account(&ada.account["id"]).json()["custom"], json!({ "note": "stays" }));
        app.defines("size", "number", "customer_edits").expect(201);
        assert_eq!(app.custom_of(&ada), json!({ "size": null }), "another field begins empty");
        app.says_of(&ada.account["id"], &json!({ "size": 7 })).expect(200);
        let custom = || text(app, "SELECT CAST(custom AS text) AS t FROM accounts");
        assert!(custom().contains('7') && !custom().contains("a word of Ada"), "a change leaves nothing of it: {}", custom());
    }

    fn what_accounts_have_of_a_deleted_field_is_erased_soon(app) {
        let people: Vec<SignedIn> = ["ada", "bob", "eve"].map(|name| app.signs_up(&format!("{name}@example.org"))).into();
        app.defines("size", "text", "customer_edits").expect(201);
        app.defines("note", "text", "desk").expect(201);
        for who in &people[..2] {
            edits(app, who, &json!({ "size": "a word" })).expect(200);
        }
        app.says_of(&people[1].account["id"], &json!({ "note": "stays" })).expect(200);
        app.emails_support("grace@example.org");
        let tags: Vec<_> = people.iter().map(|who| seen(&app.me(&who.access_token)).2).collect();
        app.deletes_field("size").expect(204);
        house::tidy(app.store()).unwrap();
        assert_eq!(kept(app), 2, "whoever saw the field a moment ago may still be writing");
        app.advance(Duration::from_secs(61));
        while house::tidy(app.store()).unwrap() {}
        assert_eq!(kept(app), 1);
        let custom = text(app, "SELECT CAST(custom AS text) AS t FROM accounts WHERE CAST(custom AS text) <> '{}'");
        assert!(custom.contains("stays") && !custom.contains("a word"), "{custom}");
        assert_eq!(app.count("SELECT count(*) AS n FROM custom_fields"), 1, "nothing is left of the field itself");
        assert!(!house::tidy(app.store()).unwrap());
        for (who, tag) in people.iter().zip(tags) {
            let now = app.me(&who.access_token).expect(200);
            assert_eq!(now.json()["custom"], json!({}));
            assert_ne!(seen(&now).2, tag, "what is shown is another");
        }
    }

    fn who_may_see_a_field_sees_it_and_who_may_edit_it_edits_it(app) {
        let ada = app.signs_up("ada@example.org");
        let (id, visible) = (&ada.account["id"], ["desk", "customer_reads", "customer_edits"]);
        for visible_to in visible {
            app.defines(visible_to, "text", visible_to).expect(201);
        }
        let said = app.says_of(id, &json!({ "desk": "one", "customer_reads": "two", "customer_edits": "three" })).expect(200);
        let all = json!({ "desk": "one", "customer_reads": "two", "customer_edits": "three" });
        assert_eq!((&said.json()["custom"], &app.desk_account(id).json()["custom"]), (&all, &all));
        assert_eq!(app.custom_of(&ada), json!({ "customer_reads": "two", "customer_edits": "three" }));
        let mine = items(&reads(app, &ada, "/v1/me/custom-fields").expect(200));
        assert_eq!(mine, [
            json!({ "key": "customer_reads", "title": "customer_reads", "type": "text", "choices": [], "editable": false }),
            json!({ "key": "customer_edits", "title": "customer_edits", "type": "text", "choices": [], "editable": true }),
        ]);
        for (key, code) in [("desk", "unknown_field"), ("customer_reads", "read_only"), ("absent", "unknown_field")] {
            for value in [json!("x"), Value::Null, json!(7), json!("x".repeat(1001))] {
                let refused = edits(app, &ada, &json!({ "customer_edits": "x", key: value })).expect(422);
                assert_eq!(faults(&refused), fault(&format!("/custom/{key}"), code), "{key} {value}");
            }
        }
        let edited = edits(app, &ada, &json!({ "customer_edits": "four" })).expect(200).json();
        assert_eq!(edited["custom"], json!({ "customer_reads": "two", "customer_edits": "four" }));
        let cleared = edits(app, &ada, &json!({ "customer_edits": null })).expect(200).json();
        assert_eq!(cleared["custom"], json!({ "customer_reads": "two", "customer_edits": null }));
        for (key, visible_to) in [("desk", "customer_reads"), ("customer_reads", "desk"), ("customer_edits", "customer_reads")] {
            app.defines(key, "text", visible_to).expect(200);
        }
        assert_eq!(app.custom_of(&ada), json!({ "desk": "one", "customer_edits": null }), "a change of who may see holds at once");
        assert_eq!(faults(&edits(app, &ada, &json!({ "customer_edits": "x" })).expect(422)), fault("/custom/customer_edits", "read_only"));
    }

    fn az_04_a_field_of_the_desk_leaves_no_trace_in_what_a_customer_sees(app) {
        let ada = app.signs_up("ada@example.org");
        let id = &ada.account["id"];
        app.defines("shown", "text", "customer_edits").expect(201);
        let before = app.me(&ada.access_token).expect(200);
        app.defines("hidden", "choice", "desk").expect(201);
        assert_eq!(seen(&app.me(&ada.access_token)), seen(&before), "that there is one");
        app.advance(Duration::from_secs(10));
        app.says_of(id, &json!({ "hidden": "gold" })).expect(200);
        assert_eq!(seen(&app.me(&ada.access_token)), seen(&before), "that something was said, not even by a time or a tag");
        let tag = before.header("etag").unwrap();
        let edit = app.client.patch("/v1/me").bearer(&ada.access_token).header("If-Match", tag);
        let edited = edit.json(&json!({ "custom": { "shown": "x" } })).send().expect(200);
        let mut answers = vec![
            edited, app.me(&ada.access_token), reads(app, &ada, "/v1/me/custom-fields"), edits(app, &ada, &json!({ "shown": "y" })),
            app.tries_to_sign_in("ada@example.org", PASSWORD), app.refreshes(&ada.refresh_token), edits(app, &ada, &json!({ "shown": 7 })),
        ];
        for value in [json!("gold"), json!("silver"), json!("lead"), json!(7), Value::Null, json!({ "a": 1 })] {
            let tries = |key: &str| edits(app, &ada, &json!({ key: value, "shown": "z" })).expect(422);
            let (hidden, absent) = (tries("hidden"), tries("absent"));
            let renamed = |answer: &Answer| seen(answer).1.replace("hidden", "absent");
            assert_eq!(renamed(&hidden), renamed(&absent), "{value}");
            answers.push(absent);
        }
        for answer in &answers {
            let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            assert!(!text.contains("hidden") && !text.contains("gold"), "{text}");
        }
        assert_eq!(app.desk_account(id).json()["custom"]["hidden"], "gold");
        app.deletes_field("hidden").expect(204);
        assert_eq!(seen(&app.me(&ada.access_token)), seen(&app.me(&ada.access_token)));
    }

    fn a_value_is_of_its_fields_type_on_both_sides(app) {
        let ada = app.signs_up("ada@example.org");
        for kind in ["text", "number", "boolean", "date", "choice"] {
            app.defines(kind, kind, "customer_edits").expect(201);
        }
        let good = json!({ "text": "two\nlines <b> ' \" \u{1f600}", "number": 38.5, "boolean": false, "date": "2024-02-29", "choice": "gold" });
        assert_eq!(edits(app, &ada, &good).expect(200).json()["custom"], good);
        assert_eq!(app.desk_account(&ada.account["id"]).json()["custom"], good);
        for (sent, stored) in [(json!(2.0), json!(2)), (json!(-0.0), json!(0)), (json!(1e15), json!(1_000_000_000_000_000_i64)), (json!(0.000_000_1), json!(1e-7)), (json!(0.1), json!(0.1))] {
            edits(app, &ada, &json!({ "number": sent })).expect(200);
            assert_eq!(app.custom_of(&ada)["number"], stored, "{sent}");
        }
        let rows: [(&str, Value, &str); 13] = [
            ("text", json!(""), "invalid_length"), ("text", json!("x".repeat(1001)), "invalid_length"), ("text", json!("x".repeat(60_000)), "invalid_length"),
            ("text", json!("a\u{7}b"), "control_characters"), ("text", json!(7), "wrong_type"), ("text", json!({ "a": ["b"] }), "wrong_type"),
            ("number", json!("7"), "wrong_type"), ("number", json!(1e16), "out_of_range"), ("boolean", json!("true"), "wrong_type"),
            ("date", json!("2023-02-29"), "invalid"), ("date", json!("2026-01-31T00:00:00Z"), "invalid"), ("choice", json!("lead"), "not_one_of"),
            ("choice", json!(["gold"]), "wrong_type"),
        ];
        let before = app.custom_of(&ada);
        for (key, value, code) in rows {
            for refused in [edits(app, &ada, &json!({ key: value })), app.says_of(&ada.account["id"], &json!({ key: value }))] {
                assert_eq!(faults(&refused.expect(422)), fault(&format!("/custom/{key}"), code), "{key} {value}");
            }
        }
        let nul = app.client.patch("/v1/me").bearer(&ada.access_token);
        assert_eq!(nul.json(&json!({ "custom": { "text": "a\0b" } })).send().expect(400).code(), "malformed_json");
        let twice = app.client.patch("/v1/me").bearer(&ada.access_token);
        let twice = twice.body("application/json", r#"{"custom": {"text": "a", "text": "b"}}"#).send().expect(422);
        assert_eq!(faults(&twice), fault("/custom/text", "duplicate_field"));
        let all = json!({ "full_name": "", "custom": { "text": 7, "a/b~": 1, "number": "x" } });
        assert_eq!(pointers(&app.patches(&ada, &all).expect(422)), ["/full_name", "/custom/a~1b~0", "/custom/number", "/custom/text"]);
        let many: serde_json::Map<String, Value> = (0..500).map(|n| (format!("k{n}"), json!(n))).collect();
        assert_eq!(faults(&edits(app, &ada, &Value::Object(many)).expect(422)).len(), 10);
        for odd in [Value::Null, json!([]), json!("x"), json!(7)] {
            assert_eq!(faults(&edits(app, &ada, &odd).expect(422)), fault("/custom", "wrong_type"), "{odd}");
        }
        app.patches(&ada, &json!({ "custom": { "text": "x".repeat(70_000) } })).expect(413);
        assert_eq!(app.custom_of(&ada), before);
    }

    fn a_value_that_is_no_choice_any_more_stays_until_it_is_changed(app) {
        let ada = app.signs_up("ada@example.org");
        app.defines("tier", "choice", "customer_edits").expect(201);
        edits(app, &ada, &json!({ "tier": "gold" })).expect(200);
        app.puts_field("tier", &json!({ "title": "Tier", "type": "choice", "choices": ["lead"], "visible_to": "customer_edits" })).expect(200);
        assert_eq!(app.custom_of(&ada), json!({ "tier": "gold" }));
        assert_eq!(faults(&edits(app, &ada, &json!({ "tier": "gold" })).expect(422)), fault("/custom/tier", "not_one_of"));
        edits(app, &ada, &json!({ "tier": "lead" })).expect(200);
    }

    fn every_instance_knows_a_field_at_once(app) {
        let ada = app.signs_up("ada@example.org");
        let (other, client) = app.start_another();
        let there = || client.get("/v1/me").bearer(&ada.access_token).send().expect(200).json()["custom"].clone();
        assert_eq!(there(), json!({}));
        app.defines("size", "text", "customer_edits").expect(201);
        assert_eq!(there(), json!({ "size": null }));
        let edit = client.patch("/v1/me").bearer(&ada.access_token).json(&json!({ "custom": { "size": "S" } })).send();
        assert_eq!(edit.expect(200).json()["custom"], json!({ "size": "S" }));
        app.defines("size", "text", "desk").expect(200);
        assert_eq!(there(), json!({}));
        other.stop().unwrap();
    }

    fn reading_my_account_is_one_query(app) {
        let ada = app.signs_up("ada@example.org");
        app.defines("size", "text", "customer_edits").expect(201);
        edits(app, &ada, &json!({ "size": "S" })).expect(200);
        let sqlite = app.sqlite_path();
        let database = app.config.database.url.as_deref().or(sqlite.to_str()).unwrap();
        let heard = statements::during(database, || assert_eq!(app.custom_of(&ada), json!({ "size": "S" })));
        let quoted = |table: &str| heard.iter().filter(|sql| sql.contains(&format!("`{table}`")) || sql.contains(&format!("\"{table}\""))).count();
        assert_eq!((quoted("sessions"), quoted("accounts"), quoted("custom_fields")), (1, 1, 0), "{heard:#?}");
    }

    fn i_8_an_event_names_what_changed_and_not_what_it_is(app) {
        let ada = app.signs_up("ada@example.org");
        app.defines("size", "text", "customer_edits").expect(201);
        app.defines("note", "text", "desk").expect(201);
        let (id, before) = (&ada.account["id"], (events(app, "account.updated"), events(app, "account.custom_updated")));
        edits(app, &ada, &json!({ "size": "a secret word" })).expect(200);
        edits(app, &ada, &json!({ "size": "a secret word" })).expect(200);
        app.says_of(id, &json!({ "note": "another secret word", "size": "a secret word" })).expect(200);
        app.says_of(id, &json!({ "note": "another secret word" })).expect(200);
        let after = (events(app, "account.updated"), events(app, "account.custom_updated"));
        assert_eq!(after, (before.0 + 1, before.1 + 1), "one for each change, none for what is as it was");
        let detail = |action: &str| text(app, &format!("SELECT CAST(detail AS text) AS t FROM audit_events WHERE action = '{action}'"));
        assert!(detail("account.updated").contains("custom.size"));
        assert!(detail("account.custom_updated").contains("custom.note") && !detail("account.custom_updated").contains("custom.size"));
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE CAST(detail AS text) LIKE '%secret word%'"), 0);
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'account.custom_updated' AND actor <> 'api_key'"), 0);
        assert_eq!(app.count("SELECT count(*) AS n FROM outbox WHERE topic = 'account.updated'"), 2, "and as many for webhooks");
    }
}
