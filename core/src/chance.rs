//! Where randomness comes from.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The system's generator, or a fixed sequence for a test that wants the same run twice.
#[derive(Debug, Clone, Default)]
pub enum Chance {
    #[default]
    System,
}

impl Chance {
    /// `N` bytes nobody can predict.
    ///
    /// # Panics
    /// Where the operating system has no randomness to give, which nothing can go on without.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            #[expect(clippy::expect_used, reason = "without randomness no secret may be made")]
            #[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
            Self::System => SystemRandom::new().fill(&mut bytes).expect("the operating system gives no randomness"),
        }
        bytes
    }
}
