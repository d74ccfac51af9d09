//! Logs: one line an event, to standard error, as text or JSON.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Says what is wrong with a level, if anything is.
pub fn check_level(level: &str) -> Result<(), String> {
    // a word that is no level would be taken for the name of a target, and nothing else be logged
    let stray = level.split(',').find(|part| !part.contains('=') && LevelFilter::from_str(part.trim()).is_err());
    let wrong = match (stray, Targets::from_str(level)) {
        (Some(word), _) => format!("{word:?} is no level"),
        (None, Err(error)) => error.to_string(),
        (None, Ok(_)) => return Ok(()),
    };
    Err(format!("log.level = {level:?}: {wrong}; use error, warn, info, debug or trace"))
}

/// Starts logging. A second call in one process does nothing.
pub fn start(log: &Log) {
    let targets = Targets::from_str(&log.level).unwrap_or_default();
    // a framework's own words; ours say the same, and more
    let quiet = [("actix_server", LevelFilter::WARN), ("actix_http", LevelFilter::WARN)];
    let targets = Targets::new()
        .with_targets(quiet)
        .with_default(LevelFilter::OFF)
        .with_targets(targets.clone())
        .with_default(targets.default_level().unwrap_or(LevelFilter::OFF));
    let layer = match log.format {
        LogFormat::Text => fmt::layer().with_writer(Stderr::default()).with_ansi(false).with_target(false).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(Stderr::default()).boxed(),
    };
    if tracing_subscriber::registry().with(layer.with_filter(targets)).try_init().is_err() {
        tracing::debug!("logging has been started before");
    }
}

/// Octets that a pipe with room takes at once (`PIPE_BUF` on Linux).
const PIECE: usize = 4096;
/// How long the first line that nobody takes waits; those after it do not.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const NO_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard error, as long as somebody takes what is written there: a log that is stuck or gone stops no request.
#[derive(Debug, Default)]
struct Stderr {
    stuck: AtomicBool,
    lost: AtomicU64,
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> &'w Self {
        self
    }
}

impl Write for &Stderr {
    /// Writes a whole line, or counts it as lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        let mut put = |text: &[u8]| {
            text.chunks(PIECE).try_for_each(|piece| {
                self.wait_for_room(&stderr)?;
                stderr.write_all(piece)
            })
        };
        let lost = self.lost.load(Ordering::Acquire);
        let told = if lost == 0 { Ok(()) } else { put(format!("{{\"lost_lines\":{lost}}}\n").as_bytes()) };
        if told.is_ok() {
            self.lost.store(0, Ordering::Release);
        }
        if told.and_then(|()| put(line)).is_err() {
            self.lost.fetch_add(1, Ordering::AcqRel);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stderr {
    fn wait_for_room(&self, stderr: &io::StderrLock<'_>) -> io::Result<()> {
        let patience = if self.stuck.load(Ordering::Acquire) { NO_PATIENCE } else { PATIENCE };
        let ready = poll(&mut [PollFd::new(stderr, PollFlags::OUT)], Some(&patience))?;
        self.stuck.store(ready == 0, Ordering::Release);
        if ready == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}
