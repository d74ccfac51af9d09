//! Who would get at an account, or learn of one, by adding addresses.

use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::smtp::Behaviour;
use doorstep_tests::{SignedIn, on_both};
use serde_json::json;

use crate::forced::{becomes, wait_for_count};
use crate::goodbye::leaves;
use crate::my_emails::{ada, states};

const ADA: &str = "ada@example.org";
const NEW: &str = "ada@lovelace.example";

on_both! {
    fn em_09_se_18_every_change_takes_a_fresh_session(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, NEW).expect(202);
        let pending = app.adding_mail_to(NEW);
        let other = app.adds(&ada, "other@example.org");
        app.advance(Duration::from_secs(601));
        let ada = SignedIn::of(&app.refreshes(&ada.refresh_token).expect(200));
        let late = [
            app.asks_to_add(&ada, "more@example.org"), app.proves(&ada, &pending.id, &json!({ "token": pending.token })),
            app.resends(&ada, &pending.id), app.makes_primary(&ada, &other), app.removes(&ada, &other),
            app.removes(&ada, &pending.id),
        ];
        for answer in late {
            assert_eq!((answer.status, answer.code()), (403, "reauth_required".into()));
        }
        assert_eq!(states(app, &ada).len(), 3, "and nothing is lost");
        assert!(app.mail_to("more@example.org").is_empty());
    }

    fn em_11_en_05_a_taken_address_looks_like_a_free_one_and_its_owner_is_told(app) {
        app.claims("w@example.org");
        app.emails_support("unclaimed@example.org");
        app.claims("closed@example.org");
        becomes(app, "closed@example.org", "disabled");
        let ada = ada(app);
        let shapes: Vec<_> = ["free", "w", "unclaimed", "closed"].iter().map(|name| {
            let email = format!("{name}@example.org");
            let answer = app.asks_to_add(&ada, &email).expect(202);
            let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            headers.sort();
            let mut body = answer.json();
            for varies in ["id", "email", "label", "expires_at"] {
                assert!(body[varies].take().is_string());
            }
            (headers, body)
        }).collect();
        assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]), "{shapes:#?}");
        let told = app.mail_to("w@example.org").pop().unwrap();
        assert_eq!(told.subject(), "You already have an account at Shop Help with this address");
        assert!(!told.text().contains("token=") && !told.text().contains("Code:") && !told.text().contains("ada"));
        assert!(app.mail_to("closed@example.org").iter().all(|mail| !mail.subject().contains("account at Shop Help with")));
        for email in ["free@example.org", "w@example.org", "unclaimed@example.org", "closed@example.org"] {
            let pending = app.email_of(&ada, email);
            for _ in 0..5 {
                app.proves(&ada, &pending.id, &json!({ "code": "AAAA-AAAA" })).expect(404);
            }
            app.removes(&ada, &pending.id).expect(204);
        }
        app.tries_to_sign_in("w@example.org", PASSWORD).expect(201);
    }

    fn em_11_i7_what_is_asked_for_again_and_again_tells_nobody_who_has_it(app) {
        app.claims("w@example.org");
        app.emails_support("unclaimed@example.org");
        app.claims("closed@example.org");
        becomes(app, "closed@example.org", "disabled");
        let ada = ada(app);
        let seen: Vec<_> = ["free", "w", "unclaimed", "closed"].iter().map(|name| {
            let email = format!("{name}@example.org");
            let ids: Vec<_> = (0..2).map(|_| {
                app.advance(Duration::from_secs(1));
                let asked = app.asks_to_add(&ada, &email).expect(202).json();
                app.wait_until_mail_is_carried();
                asked["id"].as_str().unwrap().to_owned()
            }).collect();
            let status = |answer: Answer| (answer.status, if answer.status >= 400 { answer.code() } else { String::new() });
            let mut all = vec![status(app.proves(&ada, &ids[0], &json!({ "code": "AAAA-AAAA" }))), status(app.resends(&ada, &ids[0]))];
            app.wait_until_mail_is_carried();
            all.push(status(app.proves(&ada, &ids[0], &json!({ "token": "A".repeat(43) }))));
            all.push(status(app.removes(&ada, &ids[1])));
            all.push(status(app.removes(&ada, &ids[0])));
            (ids[0] == ids[1], all)
        }).collect();
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
        assert_eq!(seen[0].1.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [404, 202, 404, 204, 404]);
    }

    fn i7_what_its_owner_does_does_not_show_in_anothers_list(app) {
        app.claims("w@example.org");
        let ada = ada(app);
        let listed = |email: &str| app.emails_of(&ada).into_iter().find(|known| known.email == email).map(|known| known.id);
        let ids = ["w@example.org", "new@example.org", "free@example.org"].map(|email| {
            app.asks_to_add(&ada, email).expect(202).json()["id"].as_str().unwrap().to_owned()
        });
        let trap = app.adding_mail_to("new@example.org");
        app.claims_with("w@example.org", OTHER_PASSWORD);
        let w = SignedIn::of(&app.tries_to_sign_in("w@example.org", OTHER_PASSWORD).expect(201));
        app.signs_up("new@example.org");
        for (id, email) in ids.iter().zip(["w@example.org", "new@example.org", "free@example.org"]) {
            assert_eq!(listed(email).as_ref(), Some(id), "{email}");
            assert_eq!(app.proves(&ada, id, &json!({ "code": "AAAA-AAAA" })).expect(404).code(), "secret_not_found");
        }
        for shown in [json!({ "token": trap.token }), json!({ "code": trap.code })] {
            app.proves(&ada, &trap.id, &shown).expect(404);
        }
        leaves(app, &w, "w@example.org");
        assert_eq!(listed("w@example.org").as_ref(), Some(&ids[0]), "nor when they leave");
    }

    fn what_was_to_be_mailed_when_it_became_anothers_is_not(app) {
        let ada = ada(app);
        app.asks_to_sign_up(NEW).expect(202);
        let sign_up = app.secret_mailed_to(NEW);
        app.smtp.script(Behaviour::TempFail(451));
        app.asks_to_add(&ada, NEW).expect(202);
        wait_for_count(app, 1, "SELECT count(*) AS n FROM outbox WHERE state = 'waiting' AND topic = 'add_email' AND last_error IS NOT NULL");
        app.confirms_sign_up(&json!({ "token": sign_up.token, "password": PASSWORD })).expect(201);
        app.smtp.script(Behaviour::Accept);
        app.advance(Duration::from_secs(60));
        app.wait_until_mail_is_carried();
        assert!(app.mail_to(NEW).iter().all(|mail| !mail.text().contains("email#id=")));
    }

    fn ph_09_an_address_that_is_pending_is_nobodys(app) {
        let a = app.signs_up("a@example.org");
        app.asks_to_add(&a, "v@example.org").expect(202);
        let trap = app.adding_mail_to("v@example.org");
        assert_eq!(app.count("SELECT count(*) AS n FROM identities WHERE subject = 'v@example.org'"), 0);
        let wrote = app.emails_support("v@example.org");
        let v = app.claims("v@example.org");
        assert_ne!(v.account_id, a.account["id"].as_str().unwrap());
        let v = app.signs_in("v@example.org");
        assert_eq!(app.conversations_of(&v)[0]["id"], wrote["conversation_id"]);
        for body in [json!({ "token": trap.token }), json!({ "code": trap.code })] {
            let answer = app.proves(&a, &trap.id, &body);
            assert!([404, 409, 410].contains(&answer.status), "{}", answer.code());
        }
        assert_eq!(states(app, &a).iter().filter(|(_, state, _)| state == "proven").count(), 1);
        assert!(app.conversations_of(&a).is_empty());
    }

    fn i3_what_was_mailed_while_the_address_was_nobodys_is_void_once_it_is_proven(app) {
        let (ada, eve) = (ada(app), app.signs_up("eve@example.org"));
        app.asks_to_sign_up(NEW).expect(202);
        let sign_up = app.secret_mailed_to(NEW);
        app.asks_to_add(&eve, NEW).expect(202);
        let of_eve = app.adding_mail_to(NEW);
        app.adds(&ada, NEW);
        app.confirms_sign_up(&json!({ "token": sign_up.token, "password": PASSWORD })).expect(410);
        for shown in [json!({ "token": of_eve.token }), json!({ "code": of_eve.code })] {
            assert_eq!(app.proves(&eve, &of_eve.id, &shown).expect(404).code(), "secret_not_found");
        }
        assert_eq!(states(app, &eve)[1], (NEW.into(), "pending".into(), false), "to Eve nothing has happened");
        assert_eq!(states(app, &ada).len(), 2);
    }

    fn ph_05_a_pending_address_dies_with_a_recovery(app) {
        let forced = ada(app);
        app.asks_to_add(&forced, "a@example.org").expect(202);
        let pending = app.adding_mail_to("a@example.org");
        app.claims_with(ADA, OTHER_PASSWORD);
        app.proves(&forced, &pending.id, &json!({ "token": pending.token })).expect(401);
        let ada = app.tries_to_sign_in(ADA, OTHER_PASSWORD).expect(201);
        let ada = SignedIn::of(&ada);
        app.proves(&ada, &pending.id, &json!({ "token": pending.token })).expect(404);
        assert_eq!(states(app, &ada), [(ADA.into(), "proven".into(), true)]);
        app.tries_to_sign_in("a@example.org", OTHER_PASSWORD).expect(401);
    }

    fn somebody_who_reads_the_mail_attaches_nothing(app) {
        let a = app.signs_up("a@example.org");
        app.asks_to_add(&a, "v@example.org").expect(202);
        let trap = app.adding_mail_to("v@example.org");
        for road in ["/v1/sign-ups", "/v1/password-resets"] {
            let body = json!({ "token": trap.token, "password": PASSWORD });
            assert_eq!(app.client.post(&format!("{road}/confirm")).json(&body).send().expect(404).code(), "secret_not_found");
            let code = json!({ "email": "v@example.org", "code": trap.code, "password": PASSWORD });
            assert_eq!(app.client.post(&format!("{road}/confirm")).json(&code).send().expect(404).code(), "secret_not_found");
        }
        let body = json!({ "token": trap.token });
        app.client.post("/v1/email-undos/inspect").json(&body).send().expect(404);
        app.proves(&a, &trap.id, &body).expect(200);
    }

    fn se_12_az_01_anothers_addresses_are_not_there(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, NEW).expect(202);
        let (proven, pending) = (app.email_of(&ada, ADA).id, app.email_of(&ada, NEW).id);
        let a = app.signs_up("a@example.org");
        for id in [&proven, &pending] {
            app.removes(&a, id).expect(404);
            app.makes_primary(&a, id).expect(404);
            app.resends(&a, id).expect(404);
            app.proves(&a, id, &json!({ "code": "AAAA-AAAA" })).expect(404);
        }
        assert_eq!(states(app, &ada).len(), 2);
    }

    fn rc_16_one_owner_where_an_address_is_proven_and_claimed_at_once(app) {
        app.emails_support(NEW);
        let ada = ada(app);
        app.asks_to_add(&ada, NEW).expect(202);
        let adding = app.adding_mail_to(NEW);
        let claim = crate::forced::resets(app, NEW);
        let answers = in_parallel(8, |n| match n % 2 {
            0 => app.proves(&ada, &adding.id, &json!({ "token": adding.token })).status,
            _ => app.confirms_reset(&json!({ "token": claim.token, "password": OTHER_PASSWORD })).status,
        });
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|status| [200, 404, 409, 410].contains(status)), "{answers:?}");
        assert_eq!(app.count(&format!("SELECT count(*) AS n FROM identities WHERE subject = '{NEW}'")), 1);
    }

    fn i6_a_link_proves_once_in_parallel(app) {
        let ada = ada(app);
        app.asks_to_add(&ada, NEW).expect(202);
        let mail = app.adding_mail_to(NEW);
        let answers = in_parallel(8, |_| app.proves(&ada, &mail.id, &json!({ "token": mail.token })).status);
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert_eq!(app.count("SELECT count(*) AS n FROM audit_events WHERE action = 'email.added'"), 1);
    }
}
