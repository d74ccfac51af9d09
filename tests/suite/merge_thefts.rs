//! What a thief does between a merge and its undo, and what becomes of either side: nothing of the one is ever the other's.

use std::time::Duration;

use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::social::signed_in;
use doorstep_tests::{App, on_both, on_both_with_providers};
use serde_json::{Value, json};

use crate::forced::{resets, tweets};
use crate::goodbye::{asks, leaves};
use crate::linking::merges;
use crate::partings::{T, THIRD, V, addresses, again, each_has_their_own, signs_in, sorted, theft, undoes};
use crate::talk::{sees, starts};

on_both! {
    fn a_survivor_that_lost_its_own_addresses_has_them_again(app) {
        let theft = theft(app);
        app.defines("tier", "text", "customer_reads").expect(201);
        app.says_of(&theft.v, &json!({ "tier": "gold" })).expect(200);
        merges(app, &theft.stolen, &theft.thief, false).expect(200);
        app.makes_primary(&theft.stolen, &app.email_of(&theft.stolen, T).id).expect(200);
        app.removes(&theft.stolen, &app.email_of(&theft.stolen, V).id).expect(204);
        undoes(app, &app.undo_mailed_to(T), OTHER_PASSWORD);
        let thief = signs_in(app, T, OTHER_PASSWORD);
        assert_eq!((sees(app, &thief), app.custom_of(&thief)["tier"].clone()), (vec![theft.of_thief.clone()], Value::Null));
        assert_eq!(app.desk_account(&theft.v).expect(200).json()["custom"]["tier"], "gold");
        leaves(app, &thief, T);
        app.claims_with(V, THIRD);
        let v = signs_in(app, V, THIRD);
        assert_eq!((&v.account["id"], &app.custom_of(&v)["tier"]), (&theft.v, &json!("gold")));
        assert_eq!(sorted(sees(app, &v)), sorted(vec![theft.mailed, theft.started]));
    }

    fn of_two_that_were_brought_into_a_third_each_has_their_own(app) {
        let theft = theft(app);
        let mailed = app.emails_support("w@example.org")["conversation_id"].clone();
        app.claims("w@example.org");
        let w = app.signs_in("w@example.org");
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        merges(app, &theft.thief, &w, false).expect(200);
        app.makes_primary(&theft.thief, &app.email_of(&theft.thief, "w@example.org").id).expect(200);
        for gone in [V, T] {
            app.removes(&theft.thief, &app.email_of(&theft.thief, gone).id).expect(204);
        }
        undoes(app, &app.undo_mailed_to("w@example.org"), OTHER_PASSWORD);
        let again = signs_in(app, "w@example.org", OTHER_PASSWORD);
        assert_eq!((&again.account["id"], sees(app, &again)), (&w.account["id"], vec![mailed.clone()]));
        app.undoes(&json!({ "token": app.undo_mailed_to(V), "password": THIRD })).expect(200);
        let v = signs_in(app, V, THIRD);
        assert_eq!((&v.account["id"], sorted(sees(app, &v))), (&theft.v, sorted(vec![theft.mailed, theft.started])));
        assert_eq!(sees(app, &signs_in(app, "w@example.org", OTHER_PASSWORD)), [mailed]);
        undoes(app, &app.undo_mailed_to(T), PASSWORD);
        assert_eq!(sees(app, &app.signs_in(T)), [theft.of_thief]);
    }

    fn a_recovery_by_the_thief_leaves_every_undo_of_the_merge(app) {
        for stays in [true, false] {
            let (v, t) = (format!("v-{stays}@example.org"), format!("t-{stays}@example.org"));
            app.claims(&v);
            let owner = app.signs_in(&v);
            let second = format!("second-{stays}@example.org");
            app.adds(&owner, &second);
            app.advance(Duration::from_secs(73 * 3600));
            let (stolen, thief) = (app.signs_in(&v), app.signs_up(&t));
            let (to, source) = if stays { (&stolen, &thief) } else { (&thief, &stolen) };
            merges(app, to, source, false).expect(200);
            let of_merge = app.undo_mailed_to(&second);
            let token = resets(app, &t).token;
            let body = json!({ "token": token, "password": OTHER_PASSWORD, "unlink_others": true });
            app.confirms_reset(&body).expect(200);
            undoes(app, &of_merge, THIRD);
            let again = signs_in(app, &second, THIRD);
            assert_eq!(again.account["id"], owner.account["id"]);
            assert_eq!(addresses(app, &again), [v, second]);
            app.claims(&t);
            assert_eq!(addresses(app, &app.signs_in(&t)), [t]);
        }
    }

    fn what_was_dropped_while_it_could_be_parted_is_parted_later_too_and_gets_nothing(app) {
        for stays in [true, false] {
            let (v, t) = (format!("v-{stays}@example.org"), format!("t-{stays}@example.org"));
            app.claims(&v);
            let stolen = app.signs_in(&v);
            let secret = starts(app, &stolen, "A secret", "hello")["id"].clone();
            let thief = app.signs_up(&t);
            let (to, source) = if stays { (&stolen, &thief) } else { (&thief, &stolen) };
            merges(app, to, source, false).expect(200);
            app.advance(Duration::from_secs(3600));
            let token = resets(app, &v).token;
            let body = json!({ "token": token, "password": OTHER_PASSWORD, "unlink_others": true });
            app.confirms_reset(&body).expect(200);
            let late = app.undo_mailed_to(&t);
            app.advance(Duration::from_secs(71 * 3600 + 1800));
            app.undoes(&json!({ "token": late, "password": THIRD, "unlink_others": true })).expect(200);
            let thief_again = signs_in(app, &t, THIRD);
            assert_eq!((&thief_again.account["id"], sees(app, &thief_again)), (&thief.account["id"], vec![]), "stays: {stays}");
            assert_eq!(addresses(app, &thief_again), [t]);
            app.claims(&v);
            let again = app.signs_in(&v);
            assert_eq!((&again.account["id"], sees(app, &again)), (&stolen.account["id"], vec![secret]));
        }
    }

    fn a_password_that_a_thief_has_set_opens_nothing_once_they_are_parted(app) {
        let theft = theft(app);
        merges(app, &theft.stolen, &theft.thief, false).expect(200);
        app.claims_with(T, OTHER_PASSWORD);
        undoes(app, &app.undo_mailed_to(T), OTHER_PASSWORD);
        for password in [OTHER_PASSWORD, PASSWORD] {
            app.tries_to_sign_in(V, password).expect(401);
        }
        app.claims_with(V, THIRD);
        each_has_their_own(app, &theft);
    }

    fn what_came_by_an_address_since_then_goes_back_with_it_though_it_was_removed(app) {
        let theft = theft(app);
        merges(app, &theft.thief, &theft.stolen, false).expect(200);
        let mut private = App::email_push("private-1", "case-private", V);
        let since = app.push(&private).expect(201).json()["conversation_id"].clone();
        let v_there = app.email_of(&theft.thief, V).id;
        app.removes(&theft.thief, &v_there).expect(204);
        undoes(app, &app.undo_mailed_to(V), THIRD);
        private["external_id"] = json!("private-2");
        assert_eq!(app.push(&private).expect(201).json()["outcome"], "created");
        let v = signs_in(app, V, THIRD);
        assert_eq!(sorted(sees(app, &v)), sorted(vec![theft.mailed, theft.started, since]));
        assert_eq!(sees(app, &again(app, T)), [theft.of_thief]);
    }
}

on_both_with_providers! {
    fn a_survivor_without_an_address_keeps_none_of_those_that_came_in(social) {
        social.claims(V);
        let v = social.signs_in(V);
        let second = social.adds(&v, "v2@example.org");
        social.advance(Duration::from_secs(73 * 3600));
        let stolen = social.signs_in(V);
        tweets(social, &json!({ "twitter": { "id": "666", "handle": "evil" } }));
        let thief = signed_in(social.arrives_by_twitter("evil", "666"));
        merges(social, &thief, &stolen, false).expect(200);
        social.makes_primary(&thief, &second).expect(200);
        social.removes(&thief, &social.email_of(&thief, V).id).expect(204);
        let twitter = social.identities_of(&thief)[0]["id"].clone();
        social.unlinks(&thief, &twitter).expect(204);
        undoes(social, &social.undo_mailed_to(V), THIRD);
        let again = signs_in(social, V, THIRD);
        assert_eq!((&again.account["id"], addresses(social, &again)), (&v.account["id"], vec![V.to_owned(), "v2@example.org".to_owned()]));
    }

    fn an_account_that_can_be_told_of_nothing_is_not_deleted_by_an_address_of_a_moment_ago(social) {
        tweets(social, &json!({ "twitter": { "id": "12", "handle": "ada" } }));
        let ada = signed_in(social.arrives_by_twitter("ada", "12"));
        assert_eq!(asks(social, &ada).expect(403).code(), "reauth_required");
        let added = social.adds(&ada, T);
        assert_eq!(asks(social, &ada).expect(409).code(), "address_too_new");
        social.removes(&ada, &added).expect(204);
        assert_eq!(asks(social, &ada).expect(409).code(), "address_too_new", "nor by one that could undo its removal");
        tweets(social, &json!({ "twitter": { "id": "13", "handle": "eve" } }));
        let eve = signed_in(social.arrives_by_twitter("eve", "13"));
        let thief = social.signs_up(T);
        merges(social, &thief, &eve, false).expect(200);
        assert_eq!(asks(social, &thief).expect(409).code(), "merge_undoable");
        social.advance(Duration::from_secs(73 * 3600));
        asks(social, &social.signs_in(T)).expect(202);
    }
}
