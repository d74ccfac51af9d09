//! Who may do what: every operation of the document × every kind of caller.

use doorstep_core::Error;
use doorstep_core::api_key::{PlainKey, Scope};
use doorstep_core::db::{self, Origin};
use doorstep_tests::http::Answer;
use doorstep_tests::{App, SignedIn, on_both};
use serde_json::{Value, json};

use crate::operations::{Call, Who, World, calls};
use crate::talk::{agent_answers, desk_reads, does, email_in, known, path, posts, reads, starts};

const SCOPES: [Scope; 7] = [
    Scope::InteractionsWrite,
    Scope::ConversationsRead,
    Scope::ConversationsWrite,
    Scope::AccountsRead,
    Scope::AccountsWrite,
    Scope::CustomFieldsWrite,
    Scope::TokensIntrospect,
];

/// Tokens that are none: other schemes' shapes, cut ones, and ours with something changed.
fn garbage(world: &World) -> Vec<String> {
    let (jwt, key) = (&world.ada.access_token, &world.keys[0].1);
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ4In0.";
    let other_key = format!("{}{}", &key[..key.len() - 1], if key.ends_with('A') { "B" } else { "A" });
    vec![
        "garbage".into(),
        unsigned.into(),
        jwt[..jwt.len() - 3].into(),
        jwt[1..].into(),
        other_key,
        world.ada.refresh_token.clone(),
    ]
}

fn refused(what: &str, call: &Call, answer: &Answer, status: u16, code: &str) {
    let got = (answer.status, answer.code());
    assert_eq!(got, (status, code.to_owned()), "{} as {what}", call.operation);
    assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")), "{what}");
}

/// One row of the table: the call as nobody, as garbage, as the customer, and with every single scope.
fn try_as_everybody(app: &App, world: &World, call: &Call) {
    let allowed = |what: &str, answer: &Answer| {
        assert_eq!(
            answer.status,
            call.status,
            "{} as {what}: {}",
            call.operation,
            String::from_utf8_lossy(&answer.body)
        );
    };
    let nobody = call.send(app, None);
    match call.who {
        Who::Anybody => allowed("nobody", &nobody),
        _ => refused("nobody", call, &nobody, 401, "unauthorized"),
    }
    for token in garbage(world) {
        let answer = call.send(app, Some(&token));
        match call.who {
            Who::Anybody => allowed("garbage", &answer),
            _ => refused("garbage", call, &answer, 401, "unauthorized"),
        }
    }
    for (scope, key) in &world.keys {
        let answer = call.send(app, Some(key));
        match call.who {
            Who::Anybody => allowed(scope.as_str(), &answer),
            Who::Customer | Who::Admin => refused(scope.as_str(), call, &answer, 401, "unauthorized"),
            Who::Key(needed) if needed == *scope => allowed(scope.as_str(), &answer),
            Who::Key(_) => refused(scope.as_str(), call, &answer, 403, "insufficient_scope"),
        }
    }
    let answer = call.send(app, Some(&world.session(app, call)));
    match call.who {
        Who::Anybody | Who::Customer => allowed("a customer", &answer),
        Who::Key(_) => refused("a customer", call, &answer, 401, "unauthorized"),
        Who::Admin => assert_eq!((answer.status, answer.code()), (403, "admin_required".into()), "{}", call.operation),
    }
    if call.who == Who::Admin {
        allowed("an admin", &call.send(app, Some(&world.boss.access_token)));
    }
}

#[test]
fn the_document_says_which_scope_an_operation_needs() {
    let document: Value = serde_json::from_str(crate::contract::COMMITTED).unwrap();
    for (name, who) in crate::operations::who_calls() {
        let Who::Key(scope) = who else { continue };
        let operation = crate::contract::operation(&document, name);
        assert_eq!(operation["security"], json!([{ "api_key": [scope.as_str()] }]), "{name}");
    }
}

on_both! {
    fn az_06_az_08_every_operation_knows_who_may_call_it(app) {
        let world = World::of(app, &SCOPES);
        for call in calls(app, &world) {
            try_as_everybody(app, &world, &call);
        }
    }

    fn az_01_az_03_anothers_conversation_is_as_absent_as_one_that_never_was(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let eve = app.signs_up("eve@example.org");
        let started = starts(app, &ada, "Hers", "secret");
        app.push(&agent_answers(&started["id"], "secret too")).expect(201);
        let never = json!("0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20");
        let tries = |id: &Value| -> Vec<(u16, String)> {
            let say = json!({ "body_text": "me too" });
            let answers = [
                reads(app, &eve, &path(id, "")), reads(app, &eve, &path(id, "/messages")), posts(app, &eve, &path(id, "/messages"), &say),
                does(app, &eve, &path(id, "/read")), does(app, &eve, &path(id, "/close")), does(app, &eve, &path(id, "/reopen")),
            ];
            // what differs is the request's own id
            answers.iter().map(|answer| (answer.status, answer.json()["detail"].to_string() + &answer.code())).collect()
        };
        let absent = tries(&never);
        assert!(absent.iter().all(|(status, _)| *status == 404), "{absent:?}");
        for id in [&started["id"], &pushed["conversation_id"]] {
            assert_eq!(tries(id), absent);
        }
        for id in ["x", "1", "..", "%00", "0198C7D2", "0198c7d2-6f0e-7a51-9d1e-0f6f7f6f2b20'--"] {
            reads(app, &eve, &path(&json!(id), "")).expect(404);
        }
        assert_eq!(app.conversations_of(&eve), Vec::<Value>::new());
        let found = reads(app, &eve, "/v1/me/conversations?text=secret").expect(200);
        assert_eq!(found.json()["items"], json!([]), "nor is it found");
        let exports_it = |who: &SignedIn| reads(app, who, "/v1/me/export").expect(200).json().to_string().contains("secret");
        assert!(exports_it(&ada) && !exports_it(&eve));
        assert_eq!(reads(app, &ada, &path(&started["id"], "")).expect(200).json()["status"], "open");
    }

    fn az_14_no_right_stands_in_a_token_so_that_what_is_taken_away_is_gone_at_once(app) {
        let (ada, pushed) = known(app, "ada@example.org");
        let claims = ada.claims();
        let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names.len(), 10, "{names:?}");
        for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "epoch", "auth_time"] {
            assert!(names.contains(&name), "{name}");
        }
        let role = || reads(app, &ada, "/v1/me").expect(200).json()["role"].clone();
        for given in ["admin", "customer"] {
            app.sql(&format!("UPDATE accounts SET role = '{given}'"));
            assert_eq!(role(), given);
        }
        let case = path(&pushed["conversation_id"], "");
        reads(app, &ada, &case).expect(200);
        app.sql("UPDATE accounts SET state = 'disabled'");
        reads(app, &ada, &case).expect(401);
    }

    fn az_04_a_customer_sees_these_fields_and_no_other(app) {
        let (ada, _) = known(app, "ada@example.org");
        let case = app.push(&email_in("case-1", "ada@example.org")).expect(201).json()["conversation_id"].clone();
        let mut note = agent_answers(&case, "internal");
        note["message"]["internal"] = json!(true);
        app.push(&note).expect(201);
        app.push(&agent_answers(&case, "shown")).expect(201);
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        let shown = reads(app, &ada, &path(&case, "")).expect(200).json();
        assert_eq!(names(&shown), "channel created_at follow_up_of id last_message_at rating status subject unread_count");
        let listed = reads(app, &ada, "/v1/me/conversations").expect(200).json();
        assert_eq!(names(&listed["items"][0]), names(&shown));
        let messages = reads(app, &ada, &path(&case, "/messages")).expect(200).json();
        for message in messages["items"].as_array().unwrap() {
            assert_eq!(names(message), "attachments author author_name body_html body_text conversation_id id sent_at");
        }
        assert_eq!(messages["items"].as_array().unwrap().len(), 2);
        let me = app.me(&ada.access_token).expect(200).json();
        assert_eq!(names(&me), "avatar_url claimed_at created_at custom full_name id locale notifications phone primary_email role time_zone updated_at");
    }

    fn az_07_a_key_counts_only_in_its_header_and_scheme(app) {
        let ada = app.signs_up("ada@example.org");
        let key = app.api_key(&SCOPES);
        let read = |path: &str, headers: &[(&str, &str)]| {
            let request = app.client.get(path);
            headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send()
        };
        for (secret, path) in [(&key, "/v1/conversations"), (&ada.access_token, "/v1/me")] {
            for name in ["api_key", "access_token", "token", "key", "authorization"] {
                let answer = read(&format!("{path}?{name}={secret}"), &[]);
                assert_eq!((answer.status, answer.code()), (401, "unauthorized".into()), "{name}");
            }
            let bearer = format!("Bearer {secret}");
            let wrong: [Vec<(&str, String)>; 10] = [
                vec![("authorization", (*secret).clone())], vec![("authorization", format!("Basic {secret}"))],
                vec![("authorization", format!("Token {secret}"))], vec![("authorization", format!("Bearer{secret}"))],
                vec![("authorization", format!("Bearer  {secret}"))], vec![("authorization", format!("Bearer {secret} x"))],
                vec![("authorization", format!("Bearer {secret},Bearer {secret}"))], vec![("x-api-key", (*secret).clone())],
                vec![("cookie", format!("access_token={secret}"))], vec![("authorization", bearer.clone()), ("authorization", bearer.clone())],
            ];
            for headers in wrong {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                assert_eq!(read(path, &headers).expect(401).code(), "unauthorized", "{headers:?}");
            }
            for good in [bearer.clone(), format!("bearer {secret}"), format!("BEARER {secret}")] {
                read(path, &[("authorization", &good)]).expect(200);
            }
        }
    }

    /// What is looked up is a hash of what was shown, so that how long it takes says nothing of how near a guess was.
    fn ht_10_a_key_is_found_by_its_hash_alone(app) {
        let plain = app.api_key(&[Scope::ConversationsRead]);
        let known = PlainKey::parse(&plain).unwrap();
        let found = move |hash: [u8; 32]| {
            app.store().read(&Origin::default(), move |work| db::api_keys::find_by_hash(work, &hash)).unwrap().is_some()
        };
        let mut near = known.hash();
        assert!(found(near));
        near[31] ^= 1;
        assert!(!found(near));
        let shown = data_encoding::BASE64URL_NOPAD.decode(plain.strip_prefix("dsk_").unwrap().as_bytes()).unwrap();
        assert_ne!(known.hash().as_slice(), &shown[..32], "what is stored is not what is shown");
    }

    fn az_09_a_revoked_key_is_dead_at_once_and_its_sister_lives(app) {
        let (old, new) = (app.api_key(&[Scope::ConversationsRead]), app.api_key(&[Scope::ConversationsRead]));
        let list = |key: &str| app.client.get("/v1/conversations").bearer(key).send();
        for key in [&old, &new] {
            list(key).expect(200);
        }
        let revoked = app.store().write(&Origin::default(), {
            let hash = doorstep_core::api_key::PlainKey::parse(&old).unwrap().hash();
            move |work| {
                let key = db::api_keys::find_by_hash(work, &hash)?.ok_or(Error::ApiKeyInvalid)?;
                Ok((db::api_keys::revoke(work, key.id)?, db::api_keys::revoke(work, key.id)?))
            }
        });
        assert_eq!(revoked.unwrap(), (true, false));
        assert_eq!(list(&old).expect(401).code(), "unauthorized");
        list(&new).expect(200);
        let (other, client) = app.start_another();
        client.get("/v1/conversations").bearer(&old).send().expect(401);
        client.get("/v1/conversations").bearer(&new).send().expect(200);
        desk_reads(app, "/v1/conversations").expect(200);
        other.stop().unwrap();
    }

    fn a_customers_requests_end_with_the_session(app) {
        let ada: SignedIn = app.signs_up("ada@example.org");
        let started = starts(app, &ada, "x", "x");
        app.client.delete("/v1/sessions/current").bearer(&ada.access_token).send().expect(204);
        let say = json!({ "body_text": "x" });
        for answer in [
            app.me(&ada.access_token), reads(app, &ada, "/v1/me/conversations"), reads(app, &ada, &path(&started["id"], "/messages")),
            posts(app, &ada, &path(&started["id"], "/messages"), &say), does(app, &ada, &path(&started["id"], "/close")),
        ] {
            assert_eq!(answer.expect(401).code(), "unauthorized");
        }
    }
}
