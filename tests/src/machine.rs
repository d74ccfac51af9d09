//! What the machine offers to tests, and what is said of that which it does not.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::{env, fs};

use crate::postgres::setting;

/// Says once, in one line on stderr, which tests are left out and why.
///
/// # Panics
/// Where `CI` is set: there, nothing is left out.
pub(crate) fn leave_out(said: &Once, what: &str, why: &str) {
    assert!(setting("CI").is_none(), "{what} are required (CI is set), but {why}");
    // Unlike `eprintln!` this gets past the test harness, which keeps what passing tests say.
    said.call_once(|| drop(writeln!(io::stderr(), "{what} are left out, since {why}")));
}

/// What a program says that is to be there.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{program} does not run: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(why) => Err(format!("there is no {program} ({why})")),
    }
}

/// Where a program of this name is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let places = env::split_paths(&setting("PATH")?).map(|place| place.join(program)).collect::<Vec<_>>();
    places.into_iter().find(|path| path.is_file())
}

/// Where the compiler puts what it makes, which is ours to add to; cargo leaves a tag there.
pub(crate) fn target_directory() -> PathBuf {
    let program = env::current_exe().expect("a program knows where it is");
    let tagged = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(env::temp_dir, PathBuf::from)
}

/// Keeps a picture for whoever looks into a failure. Gives its place.
pub(crate) fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let directory = target_directory().join("failures");
    let path = directory.join(name);
    drop(fs::create_dir_all(&directory).and_then(|()| fs::write(&path, bytes)));
    path
}
