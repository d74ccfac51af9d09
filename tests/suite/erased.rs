//! What is deleted from SQLite is in none of its files: not in pages that are free again, and not in the log.

use std::fs;

use doorstep_core::house;
use doorstep_tests::{App, Db, Setup};
use serde_json::json;

use crate::goodbye::leaves;
use crate::talk::{agent_answers, starts};

const ADDRESSES: [&str; 2] = ["zuleika.dobson@example.org", "zuleika@judas.example"];
/// What is hers alone.
const HERS: [&str; 5] = ["zuleika", "Zuleika", "judas", "+441632960973", "a conjuror of Zobeide"];

/// Which of her words stand in the database's files, of any spelling that is kept.
fn found(app: &App) -> Vec<&'static str> {
    let database = app.sqlite_path();
    let name = database.file_name().unwrap().to_str().unwrap().to_owned();
    let files = fs::read_dir(database.parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    let ours = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name));
    let bytes: Vec<Vec<u8>> = ours.map(|path| fs::read(path).unwrap()).collect();
    let stands = |word: &&str| bytes.iter().any(|file| file.windows(word.len()).any(|part| part == word.as_bytes()));
    HERS.into_iter().filter(stands).collect()
}

fn tidies(app: &App) {
    while house::tidy(app.store()).unwrap() {}
}

#[test]
fn what_was_somebodys_is_in_no_file_of_sqlite_after_they_have_left() {
    let Some(app) = App::start(Db::Sqlite, Setup::default()) else { return };
    app.defines("about", "text", "customer_edits").expect(201);
    // few, so that no page is split: of one that is, SQLite may leave a copy where nothing is written
    let others = |from: u32| (from..from + 3).for_each(|n| drop(app.emails_support(&format!("{n}@example.org"))));
    others(0);
    app.emails_support(ADDRESSES[0]);
    app.claims(ADDRESSES[0]);
    let her = app.signs_in(ADDRESSES[0]);
    let about = "a conjuror of Zobeide, ".repeat(30);
    let profile = json!({ "full_name": "Zuleika Dobson", "phone": "+441632960973", "custom": { "about": about } });
    app.patches(&her, &profile).expect(200);
    app.adds(&her, ADDRESSES[1]);
    let started = starts(&app, &her, "Of mine", "hello");
    app.push(&agent_answers(&started["id"], "Hello.")).expect(201);
    others(3);
    app.wait_until_mail_is_carried();
    assert_eq!(found(&app), HERS, "they are there to be looked for");
    leaves(&app, &her, ADDRESSES[0]);
    app.wait_until_mail_is_carried();
    tidies(&app);
    assert_eq!(found(&app), Vec::<&str>::new());
    app.check_invariants();
}
