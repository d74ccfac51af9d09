//! The documents' own lines, word by word, against the real binary.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use doorstep_tests::postgres;

const BINARY: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

const README: &str = include_str!("../../README.md");
const PROFILE: &str = include_str!("../../docs/profile.md");
const HELP_DESK: &str = include_str!("../../docs/help-desk.md");

/// What follows of the README, in this order.
const MAIN_JOB: &[&str] = &[
    "\"outcome\":\"created\"",
    "{\"status\":\"accepted\"}",
    "\"outcome\":\"claim\"",
    "\"primary_email\":\"ada@example.org\"",
    "\"body_text\":\"It is on fire.\"",
    "\"body_text\":\"It is out now.\"",
    "\"subject\":\"Where is my order?\"",
    "\"started_by_customer\":true",
];

/// What follows of the profile's walk.
const PROFILE_EDITED: &[&str] = &[
    "{\"status\":\"accepted\"}",
    "\"email\":\"grace@hopper.exmaple\"",
    "\"state\":\"pending\"",
    "\"email\":\"grace@hopper.example\",\"label\":\"grace@hopper.example\",\"state\":\"proven\",\"is_primary\":true",
    "\"back_to\":",
    "\"device_token\":",
    "\"email\":\"grace@example.org\",\"expires_at\":",
    "\"status\":\"signed_in\"",
    "This is among the first that somebody would guess.",
    "\"device\":\"Firefox on Linux\",\"network\":\"127.0.0.0/24\",\"method\":\"password\"",
    "{\"ended\":",
    "\"notifications\":{\"conversation_replies\":true,\"rating_requests\":false,\"announcements\":true}",
    "\"key\":\"vip_note\"",
    "\"custom\":{\"shoe_size\":null,\"tier\":\"gold\",\"vip_note\":\"Sends cake.\"}",
    "\"key\":\"shoe_size\",\"title\":\"Shoe size\",\"type\":\"number\",\"choices\":[],\"editable\":true",
    "\"custom\":{\"shoe_size\":38.5,\"tier\":\"gold\"}",
    "\"custom_withheld\":[]",
    "\"action\":\"account.updated\",\"by\":\"me\"",
    "\"exported_at\"",
    "now 410",
];

/// What follows of the help desk's walk.
const DESK_DONE: &[&str] = &[
    "\"outcome\":\"created\"",
    "\"outcome\":\"held\"",
    "\"external_id\":\"case-17\"",
    "\"status\":\"open\"",
    "\"status\":\"solved\"",
    "\"rating\":{\"offered\":true,\"score\":null",
    "\"label\":\"boss@example.org\"",
    "\"sign_up\":\"open\"",
    "\"sign_up\":\"known_only\"",
    "\"sign_up\":\"known_only\"",
    "\"sign_up\":\"open\"",
    "\"name\":\"reports\",\"scopes\":[\"conversations:read\"]",
    "{\"active\":true,\"sub\":",
    "\"state\":\"claimed\"",
    "\"primary_email\":\"ada@example.org\"",
    "\"identities\":[{\"id\":",
    "{\"items\":[",
    "{\"ended\":0}",
];

/// The lines of every `sh` block of a document.
fn lines(document: &str) -> String {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

/// A server that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(dir: &Path, listen: &str, database: Option<&str>) -> Serving {
    let mut command = Command::new(BINARY);
    command.current_dir(dir).env("DOORSTEP_SERVER_LISTEN", listen).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.envs(database.map(|url| ("DATABASE_URL", url)));
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let serving = Serving(child);
    let said: Vec<String> =
        stdout.lines().map_while(Result::ok).take_while(|line| !line.contains("Then let Ada")).collect();
    assert!(said.iter().any(|line| line.contains(&format!("http://{listen}"))), "{said:?}");
    serving
}

/// Follows documents one after another in one place, as somebody does who begins with the first.
fn follow(documents: &[(&str, &[&str])], database: Option<&str>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("target/release")).unwrap();
    std::os::unix::fs::symlink(BINARY, dir.path().join("target/release/doorstep")).unwrap();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _serving = serve(dir.path(), &listen, database);
    for (document, outcome) in documents {
        // only the port is another, so that tests can run side by side
        let script = format!("set -eu\n{}", lines(document).replace("127.0.0.1:8080", &listen));
        let mut command = Command::new("sh");
        command.current_dir(dir.path()).arg("-c").arg(&script);
        command.envs(database.map(|url| ("DATABASE_URL", url)));
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}\n{}\n{:?}", String::from_utf8_lossy(&done.stderr), done.status);
        let mut rest = said.as_ref();
        for expected in *outcome {
            rest = rest.split_once(*expected).unwrap_or_else(|| panic!("no {expected} in what follows of\n{said}")).1;
        }
        assert!(!said.contains("\"code\":\""), "a problem among\n{said}");
    }
}

const ALL: &[(&str, &[&str])] = &[(README, MAIN_JOB), (PROFILE, PROFILE_EDITED), (HELP_DESK, DESK_DONE)];

#[test]
fn the_readme_the_profile_and_the_help_desk_on_sqlite() {
    follow(ALL, None);
}

#[test]
fn the_readme_the_profile_and_the_help_desk_on_postgres() {
    if let Some(server) = postgres::server() {
        follow(ALL, Some(server.create_database(None).url()));
    }
}
