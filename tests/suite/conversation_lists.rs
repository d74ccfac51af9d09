//! Lists: filters, search, and pages that neither skip nor repeat.

use std::collections::HashSet;
use std::time::Duration;

use doorstep_tests::on_both;
use serde_json::{Value, json};

use crate::talk::{agent_answers, column, desk_reads, email_in, items, known, path, pointers, posts, reads, starts};

/// A term as it stands in a query string.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Reads a list to its end, page by page; `between` happens after each page.
fn all_pages(read: impl Fn(&str) -> Value, mut between: impl FnMut()) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(&cursor);
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
        between();
    }
}

on_both! {
    fn a_list_is_narrowed_by_status_channel_and_unread(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let web = starts(app, &ada, "Hello", "from the web");
        for status in ["pending", "solved", "closed"] {
            let mut push = email_in(status, "ada@example.org");
            push["conversation"] = json!({ "external_id": status, "subject": status, "status": status });
            app.push(&push).expect(201);
        }
        app.push(&agent_answers(&web["id"], "hi")).expect(201);
        let list = |query: &str| items(&reads(app, &ada, &format!("/v1/me/conversations?{query}")).expect(200));
        for status in ["pending", "solved", "closed"] {
            assert_eq!(column(&list(&format!("status={status}")), "subject"), [status]);
        }
        assert_eq!(column(&list("status=open&channel=email"), "id"), [pushed["conversation_id"].as_str().unwrap()]);
        assert_eq!(column(&list("channel=web"), "id"), [web["id"].as_str().unwrap()]);
        assert_eq!(column(&list("unread=true"), "id"), [web["id"].as_str().unwrap()]);
        assert_eq!(list("unread=false").len(), 5);
        assert_eq!(list("channel=email").len(), 4);
        for channel in ["messenger", "twitter", "facebook", "phone", "external"] {
            assert_eq!(list(&format!("channel={channel}")), Vec::<Value>::new());
        }
        let rows = [
            ("status=burning", "/status"), ("status=", "/status"), ("channel=fax", "/channel"), ("limit=0", "/limit"), ("limit=101", "/limit"),
            ("cursor=x", "/cursor"), ("cursor=", "/cursor"), ("text=%00", "/text"), ("unread=maybe", "/unread"), ("limit=-1", "/limit"), ("colour=red", "/colour"),
            ("limit=1&limit=2", "/limit"),
        ];
        for (query, pointer) in rows {
            let refused = reads(app, &ada, &format!("/v1/me/conversations?{query}")).expect(422);
            assert_eq!(pointers(&refused), [pointer], "{query}");
        }
        let long = format!("/v1/me/conversations?text={}", "x".repeat(201));
        assert_eq!(pointers(&reads(app, &ada, &long).expect(422)), ["/text"]);
    }

    fn a_search_takes_every_character_as_it_is(app) {
        let (ada, _) = known(app, "ada@example.org");
        let said = ["100% wool", "100 percent", "snake_case", "snakeXcase", "C:\\temp", "C:/temp", "Grüße aus Köln", "李小龙", "it's \"so\"", "🔥 hot"];
        for text in said {
            starts(app, &ada, "Plain", text);
        }
        starts(app, &ada, "Über 100% alles", "nothing");
        let found = |term: &str| -> Vec<String> {
            let rows = items(&reads(app, &ada, &format!("/v1/me/conversations?text={}", encoded(term))).expect(200));
            let first = |row: &Value| items(&reads(app, &ada, &path(&row["id"], "/messages")).expect(200))[0]["body_text"].clone();
            let mut texts: Vec<String> = rows.iter().map(|row| first(row).as_str().unwrap().to_owned()).collect();
            texts.sort();
            texts
        };
        let rows: [(&str, &[&str]); 19] = [
            ("100%", &["100% wool", "nothing"]), ("e_c", &["snake_case"]), ("C:\\", &["C:\\temp"]), ("Köln", &["Grüße aus Köln"]),
            ("小", &["李小龙"]), ("it's \"", &["it's \"so\""]), ("🔥", &["🔥 hot"]), ("Über", &["nothing"]), ("WOOL", &["100% wool"]),
            ("SNAKEx", &["snakeXcase"]), ("\\_", &[]), ("%_%", &[]), ("wool 100", &["100% wool"]), ("plain köln AUS", &["Grüße aus Köln"]), ("wool percent", &[]),
            // letters beyond ASCII are found as they are written, on either database
            ("über", &[]), ("ÜBER", &["nothing"]), ("KÖLN", &[]), ("' OR 1=1 --", &[]),
        ];
        for (term, texts) in rows {
            assert_eq!(found(term), texts, "{term}");
        }
        assert_eq!(found("  ").len(), 12, "nothing but spaces narrows nothing");
    }

    fn pages_neither_skip_nor_repeat_while_others_are_added(app) {
        let (ada, _) = known(app, "ada@example.org");
        let at = "2026-01-02T03:04:05Z";
        let mut expected = HashSet::new();
        for n in 0..12 {
            let mut push = email_in(&format!("case-{n}"), "ada@example.org");
            // most at one instant: ties are broken by id
            push["message"]["sent_at"] = json!(if n % 4 == 0 { "2026-01-01T00:00:00Z" } else { at });
            expected.insert(app.push(&push).expect(201).json()["conversation_id"].as_str().unwrap().to_owned());
        }
        let read = |cursor: &str| reads(app, &ada, &format!("/v1/me/conversations?channel=email&limit=5{cursor}")).expect(200).json();
        let mut added = 0;
        let rows = all_pages(read, || {
            added += 1;
            app.push(&email_in(&format!("new-{added}"), "ada@example.org")).expect(201);
        });
        assert_eq!((rows.len(), added), (13, 2), "those there at the beginning, in three pages");
        let ids: HashSet<String> = column(&rows, "id").into_iter().collect();
        assert_eq!(ids.len(), 13);
        assert!(ids.is_superset(&expected));
        let mut times = column(&rows, "last_message_at");
        times.reverse();
        assert!(times.is_sorted(), "latest first");
    }

    fn pages_of_messages_and_of_the_desk_are_whole(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        for n in 0..7 {
            let mut push = agent_answers(id, &format!("{n}"));
            push["message"]["sent_at"] = json!("2026-01-02T03:04:05Z");
            app.push(&push).expect(201);
        }
        let mine = all_pages(|cursor| reads(app, &ada, &path(id, &format!("/messages?limit=3{cursor}"))).expect(200).json(), || {});
        assert_eq!(mine.len(), 8);
        assert_eq!(column(&mine[..7], "body_text"), ["0", "1", "2", "3", "4", "5", "6"]);
        let desk = format!("/v1/conversations/{}/messages?limit=3", id.as_str().unwrap());
        assert_eq!(column(&all_pages(|cursor| desk_reads(app, &format!("{desk}{cursor}")).expect(200).json(), || {}), "id"), column(&mine, "id"));
        for n in 0..5 {
            app.push(&email_in(&format!("case-{n}"), "ada@example.org")).expect(201);
        }
        let all = all_pages(|cursor| desk_reads(app, &format!("/v1/conversations?limit=2{cursor}")).expect(200).json(), || {
            app.advance(Duration::from_secs(1));
        });
        let ids: HashSet<String> = column(&all, "id").into_iter().collect();
        assert_eq!((all.len(), ids.len()), (6, 6));
        assert!(column(&all, "updated_at").is_sorted());
    }

    fn a_cursor_is_good_in_its_own_list_alone(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let id = &pushed["conversation_id"];
        starts(app, &ada, "Second", "x");
        let second = starts(app, &ada, "Third", "x");
        for conversation in [id, &second["id"]] {
            posts(app, &ada, &path(conversation, "/messages"), &json!({ "body_text": "x" })).expect(201);
        }
        app.signs_in("ada@example.org");
        let desk = format!("/v1/conversations/{}/messages", id.as_str().unwrap());
        let lists = [
            "/v1/me/conversations".to_owned(), path(id, "/messages"), path(&second["id"], "/messages"), "/v1/me/sessions".to_owned(),
            "/v1/me/activity".to_owned(), "/v1/conversations".to_owned(), desk,
        ];
        let ask = |list: &str, more: &str| {
            let path = format!("{list}?limit=1{more}");
            if list.starts_with("/v1/me/") { reads(app, &ada, &path) } else { desk_reads(app, &path) }
        };
        for list in &lists {
            let next = ask(list, "").expect(200).json()["next_cursor"].as_str().unwrap_or_else(|| panic!("{list} has one page")).to_owned();
            for other in &lists {
                let answer = ask(other, &format!("&cursor={next}"));
                if other == list {
                    answer.expect(200);
                    continue;
                }
                let refused = answer.expect(422).json();
                assert_eq!(refused["errors"], ask(other, "&cursor=x").expect(422).json()["errors"], "{list} in {other}");
            }
        }
    }

    fn a_cursor_of_any_making_is_harmless(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let eve = app.signs_up("eve@example.org");
        starts(app, &ada, "Second", "x");
        let page = reads(app, &ada, "/v1/me/conversations?limit=1").expect(200).json();
        let cursor = page["next_cursor"].as_str().unwrap();
        let hers = reads(app, &eve, &format!("/v1/me/conversations?cursor={cursor}")).expect(200);
        assert_eq!(hers.json()["items"], json!([]), "another's cursor shows nothing of theirs");
        for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
            let bytes = [at.to_be_bytes().as_slice(), &[0xff; 16]].concat();
            let cursor = data_encoding::BASE64URL_NOPAD.encode(&bytes);
            for list in ["/v1/me/conversations".to_owned(), path(&pushed["conversation_id"], "/messages")] {
                let answer = reads(app, &ada, &format!("{list}?cursor={cursor}"));
                assert!([200, 422].contains(&answer.status), "{at}: {}", answer.status);
            }
            let answer = desk_reads(app, &format!("/v1/conversations?cursor={cursor}"));
            assert!([200, 422].contains(&answer.status), "{at}: {}", answer.status);
        }
    }
}
