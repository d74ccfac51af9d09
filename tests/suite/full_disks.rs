//! A disk that takes no more, and a log that nobody takes. The kernel's limit to the size of a file stands for the
//! disk, since it can be set on a running process and lifted again without being root; it is Linux that can do so.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use doorstep_tests::http::{Answer, in_parallel};
use doorstep_tests::people::{OTHER_PASSWORD, PASSWORD};
use doorstep_tests::process::{Installation, Serving};
use doorstep_tests::smtp::SmtpServer;
use doorstep_tests::{Db, SignedIn, invariants};
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::outages::is_an_outage;

const DOORSTEP: &str = env!("CARGO_BIN_EXE_doorstep-under-test");

/// Signs somebody up whose mail the SMTP server takes.
fn signs_up(server: &Serving, smtp: &SmtpServer, email: &str) -> SignedIn {
    let before = smtp.messages().len();
    server.client.post("/v1/sign-ups").json(&json!({ "email": email })).send().expect(202);
    let mail = smtp.wait_for(before + 1, Duration::from_secs(20)).pop().unwrap().text();
    let token = mail.split_once("#token=").unwrap().1.split_whitespace().next().unwrap();
    let body = json!({ "token": token, "password": PASSWORD });
    SignedIn::of(&server.client.post("/v1/sign-ups/confirm").json(&body).send().expect(201))
}

fn tries_to_sign_in(server: &Serving, password: &str) -> Answer {
    server.client.post("/v1/sessions").json(&json!({ "email": "ada@example.org", "password": password })).send()
}

fn me(server: &Serving, who: &SignedIn) -> Answer {
    server.client.get("/v1/me").bearer(&who.access_token).send()
}

fn installation(smtp: &SmtpServer) -> Installation {
    let mut home = Installation::new(DOORSTEP, Db::Sqlite).unwrap();
    home.set("DOORSTEP_MAIL_SMTP_URL", &smtp.url());
    home.set("DOORSTEP_SERVER_PUBLIC_URL", "https://auth.shop.example");
    home
}

#[cfg(target_os = "linux")]
#[test]
fn ft_08_while_the_disk_is_full_writes_are_refused_reads_go_on_and_nothing_is_half_done() {
    let smtp = SmtpServer::start();
    let home = installation(&smtp);
    let server = home.start_by("trap '' XFSZ; exec \"$@\"", &["serve"], Stdio::null()).listening();
    let ada = signs_up(&server, &smtp, "ada@example.org");
    let accounts = home.count("SELECT count(*) AS n FROM accounts");

    server.limit_files_to(Some(0));
    let sign_up = || server.client.post("/v1/sign-ups").json(&json!({ "email": "new@example.org" })).send();
    for _ in 0..3 {
        let writes = in_parallel(6, |i| match i % 3 {
            0 => tries_to_sign_in(&server, PASSWORD),
            1 => sign_up(),
            _ => server.client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": ada.refresh_token })).send(),
        });
        writes.iter().for_each(is_an_outage);
        let reads = in_parallel(4, |i| if i == 0 { server.client.get("/readyz").send() } else { me(&server, &ada) });
        reads.iter().for_each(|answer| assert_eq!(answer.status, 200));
    }
    assert_ne!(tries_to_sign_in(&server, OTHER_PASSWORD).status, 201);

    // as much again as a few pages, so that some transactions find the end in their middle
    let log = home.data_dir().join("doorstep.db-wal");
    for pages in [1, 2, 5] {
        server.limit_files_to(Some(fs::metadata(&log).unwrap().len() + pages * 4096));
        let mut tries = (0..200).map(|_| tries_to_sign_in(&server, PASSWORD));
        is_an_outage(&tries.find(|answer| answer.status != 201).expect("a disk that is full at last"));
        me(&server, &ada).expect(200);
    }

    server.limit_files_to(None);
    sign_up().expect(202);
    tries_to_sign_in(&server, PASSWORD).expect(201);
    server.client.post("/v1/sessions/refresh").json(&json!({ "refresh_token": ada.refresh_token })).send().expect(200);
    assert_eq!(home.count("SELECT count(*) AS n FROM accounts"), accounts);
    signs_up(&server, &smtp, "grace@example.org");
    invariants::check(&mut home.connection());
    invariants::is_whole(&mut home.connection());
}

/// Enough requests to fill any pipe with their lines.
fn all_goes_on(server: &Serving, smtp: &SmtpServer) {
    let ada = signs_up(server, smtp, "ada@example.org");
    in_parallel(4, |_| (0..400).for_each(|_| drop(me(server, &ada).expect(200))));
    tries_to_sign_in(server, OTHER_PASSWORD).expect(401);
    tries_to_sign_in(server, PASSWORD).expect(201);
    server.client.get("/v1/me").bearer("none").send().expect(401);
}

#[test]
fn ft_09_a_log_that_nobody_takes_stops_nothing() {
    for format in ["text", "json"] {
        let (nobody, gone) = io::pipe().unwrap();
        drop(nobody);
        let logs: [(&str, Stdio); 3] = [
            ("exec \"$@\" 2>/dev/full", Stdio::null()),
            ("exec \"$@\" 2>&-", Stdio::null()),
            ("exec \"$@\"", gone.into()),
        ];
        for (line, stderr) in logs {
            if line.contains("/dev/full") && !Path::new("/dev/full").exists() {
                continue; // a thing of Linux; the pipes are everywhere
            }
            let smtp = SmtpServer::start();
            let mut home = installation(&smtp);
            home.set("DOORSTEP_LOG_FORMAT", format);
            let server = home.start_by(line, &["serve"], stderr).listening();
            all_goes_on(&server, &smtp);
            server.terminate();
            assert_eq!(server.ended().0, Some(0), "it stops as it should: {line}");
        }
    }
}

#[test]
fn ft_09_a_log_that_is_stuck_stops_nothing_and_tells_of_its_gap_when_it_moves_again() {
    let (mut log, full) = io::pipe().unwrap();
    let smtp = SmtpServer::start();
    let home = installation(&smtp);
    let server = home.start_by("exec \"$@\"", &["serve"], full).listening();
    all_goes_on(&server, &smtp);
    let mut said = vec![0; 1 << 20];
    let length = log.read(&mut said).unwrap();
    said.truncate(length);
    server.client.get("/v1/sign-in-options").send().expect(200);
    server.terminate();
    log.read_to_end(&mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    let lost = said.split_once("{\"lost_lines\":").unwrap().1.split_once('}').unwrap().0;
    assert!(lost.parse::<u64>().unwrap() > 100, "{lost}");
    assert!(said.contains("/v1/sign-in-options"));
    assert_eq!(server.ended().0, Some(0));
}

fn make_read_only(directory: &Path, read_only: bool) {
    let (of_files, of_directory) = if read_only { (0o400, 0o500) } else { (0o600, 0o700) };
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::set_permissions(entry.path(), Permissions::from_mode(of_files)).unwrap();
        }
    }
    fs::set_permissions(directory, Permissions::from_mode(of_directory)).unwrap();
}

#[test]
fn ft_09_a_data_directory_that_is_read_only_opens_no_door() {
    let smtp = SmtpServer::start();
    let mut home = installation(&smtp);
    home.run_without_privileges();
    let server = home.serve();
    let ada = signs_up(&server, &smtp, "ada@example.org");
    make_read_only(&home.data_dir(), true);
    // as few as cost nobody a wait
    let tries = in_parallel(5, |i| tries_to_sign_in(&server, if i == 0 { PASSWORD } else { OTHER_PASSWORD }));
    assert!([201, 503].contains(&tries[0].status), "{}", tries[0].status);
    tries[1..].iter().for_each(|answer| assert!([401, 429, 503].contains(&answer.status), "{}", answer.status));
    me(&server, &ada).expect(200);
    server.client.get("/healthz").send().expect(200);
    server.kill();

    let said = home.refuses(&["serve"]);
    assert!(said.contains("./data/doorstep") && !said.contains("panicked"), "{said}");
    make_read_only(&home.data_dir(), false);
    me(&home.serve(), &ada).expect(200);
}
